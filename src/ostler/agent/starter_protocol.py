"""What agent, zygote and starter say to one another, and what a starter leaves behind.

    agent ──fd 0──▶ zygote ──fork──▶ starter ──STATE/agent.sock──▶ agent
                                        └─posix_spawn─▶ tasks

Zygote. `python -I -m ostler.agent.zygote --state STATE`, fd 0 one end of a SOCK_SEQPACKET
socketpair, each packet one MessagePack map (no length before it):
    agent -> zygote   {"type": "fork", "name": NAME}      NAME: letters, digits, - and _; unique
    zygote -> agent   {"type": "forked", "name": NAME, "pid": PID}, or "pid": 0 and "why"
    agent -> zygote   {"type": "relay", "name": NAME, ...}: what `relay_order.Order` reads
    zygote -> agent   {"type": "relayed", "name": NAME, "why"}; why empty: one listens at
                      STATE/node/streams/NAME, see `wire.streams`
It exits when fd 0 ends. Starters and relays are its children and are reaped by the kernel; when the zygote
is gone they are children of the next subreaper above, who must reap them. The zygote makes
STATE/node/spool and STATE/node/scripts if they are not there.

Starter. Frames as in `wire.frames`, MessagePack maps, over STATE/agent.sock. First, at each
connection:
    {"type": "starter", "name", "pid", "start_time", "boot_id", "uid", "alloc", "phase"}
with alloc None in phase "idle", else phase one of "made" (accepted; nothing was started),
"started", "ended". The same is said again when it becomes idle after `forget`. At a new connection
the report of that phase (`made`, `started` or `ended`) follows at once. An idle starter exits when
its connection ends; one with an allocation connects to the next agent, for as long as it takes;
when its share has ended and no agent comes for `LINGER` seconds it exits, as the spool says it all.
It refuses an agent whose uid is neither root's nor its own at birth.

Agent -> starter. All but `quit` name the allocation and do nothing if it is not here.
    launch       the fields of `model.orders.Launch` as a map, as msgspec encodes them (defaults may
                 be left out); with "stdio", the client's descriptors 0, 1, 2 as SCM_RIGHTS of the
                 same sendmsg. May carry "declared": true (CPU numbers are names). Repeated: answered
                 by all that a new connection is told. With "start": false answered by `made`. With
                 "chunk" (a `Chunk`) the share is a slot.
    start_tasks  {"alloc"}
    end          {"alloc", "cause", "why", "grace"}; the first cause is kept, a shorter grace counts
    feed         {"alloc", "chunk", "heard"}: more elements for a slot, as `model.orders.Feed`
    withdraw     {"alloc", "elements", "cause", "why", "grace"}: as `model.orders.Withdraw`; answered
                 by `progress`
    acked        {"alloc", "serial"}: `progress` up to this serial is durable at the manager
    signal       {"alloc", "signal"}: to the process group of each task; with "element" only if that
                 one runs
    suspend      {"alloc"}, resume {"alloc"}
    retime       {"alloc", "time_limit"}: seconds from the start without suspended time; 0: none
    lease        {"alloc"}: a manager was heard; ends the wait of `Launch.lease` seconds anew
    exec         {"alloc", "guest", "argv", "element", "term"} with the client's descriptors 0, 1, 2 as
                 SCM_RIGHTS: a command of `ostler exec`, a child beside the tasks. With "term" the
                 first becomes the terminal of its session. GUEST: a number of the agent's
    guest_signal {"alloc", "guest", "signal"}: to its process group
    guest_part   {"alloc", "guest"}: its client has gone: SIGHUP, SIGCONT; all guests get
                 that when the agent's connection ends
    ping         {"alloc"}: nothing is done; one that does not even wake is ended by the agent
    forget       {"alloc"}: the end is durable. The spool is cut to its header; the starter becomes
                 idle again if it still has its first uid, else it exits
    quit         {}: exit if idle

Starter -> agent. Repeated at each new connection until `forget`, in the order of this list.
    made     {"alloc"}
    started  {"alloc", "at"}                     Unix seconds; of a slot the first element's
    progress `model.orders.Progress`, rows as lists: how elements of a slot ended, and which runs.
             Told 100 ms after the first news, at once when the queue runs low, when something was
             given back, and before `ended`. Repeated until `acked`
    guest    {"alloc", "guest", "code", "signal", "why"}: how a guest ended; with "ran" false it was
             not started. Told once
    ended    {"alloc", "at", "started_at", "cause", "why", "tasks": [[rank, code, signal], ...],
              "usage": [cpu_user, cpu_system, max_rss, read_bytes, written_bytes, suspended]}
             Nothing of the allocation is left below this starter. started_at None: no task ran.
             Cause `rejected`: the job asks for what cannot be (why says what). Cause `node`,
             started_at None: this node is at fault (spool not writable), it may start elsewhere. A
             program that is not found or not executable is a task that exited with 127 or 126; why
             says so and cause is empty. Of a slot: tasks and usage are empty, for its rows have
             them, and elements that no row tells of did not run

Death of a starter. Its tasks go on, as children of the next subreaper above. Watch the pidfd, not
the connection: the kernel closes sockets before it hands the children over. Then:
    state = spool.read_spool(path)            what it had done (never raises on bad contents)
    remains.orphans(state)                    [pid, ...] of the allocation that are alive
    remains.signal_all(state, signum), remains.kill_all(state) -> bool, True when nothing is left
    remains.freeze(state), remains.thaw(state)
    remains.next_exit() -> Exit | None        a child of the caller that ended, not yet reaped
    remains.reap(pid) -> Usage                wait4; call after the exit is in the caller's spool
    remains.clean(state)                      remove its control groups and script
    proc.is_alive(pid, start_time), proc.watch(pid, start_time) -> pidfd | None
A task is, by the spool: not there (not started), `intended` (between the record and the next it
may or may not have been spawned: it ran if an orphan of the allocation lives or was reaped),
`running` (pid and start time are known), `ended` (status known).
The agent calls `remains.clean(state)` for every starter that is gone, and removes its spool file.
"""

VERSION = 2  # of the frames and of the spool's records

IDLE = "idle"
MADE = "made"
STARTED = "started"
ENDED = "ended"

LINGER = 10.0  # seconds
RETRY_FIRST = 0.01  # seconds between tries to reach the next agent
RETRY_MOST = 0.5

SOCKET = "agent.sock"  # in the state folder
SPOOL = "node/spool"
TWIN = ".b"  # behind the folder's name, for the second file of each spool
SCRIPTS = "node/scripts"
CONTEXTS = "node/contexts"

# In each task's environment; both together tell whose an orphan is.
NODE_FAULT = "node"  # as model.orders has it, which starters do not load
MARKER_ALLOCATION = b"OSTLER_ALLOCATION"
MARKER_STATE = b"OSTLER_STATE"  # the state folder, so that `ostler` in a job finds its machine
