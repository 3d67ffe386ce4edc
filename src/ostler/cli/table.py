"""Every command and its options, written once: for both roads, for help and for the reference."""

from ostler.cli.table_jobs import JOBS
from ostler.cli.table_options import Command
from ostler.cli.table_site import SITE

GROUPS = ("Jobs", "The machine", "What happened", "Here", "A lab")

_LAB = ("NODE", 1, None)

COMMANDS: dict[str, Command] = JOBS | {
    c.name: c
    for c in (
        Command(
            "up", "The machine", "up:main", "Make this host a machine, as the present user.",
            "declared_cpus declared_memory declared_gpus declared_generic declared_features system foreground",
            example="ostler up --cpus 4 --memory 8G",
        ),
        Command(
            "down", "The machine", "down:main", "Stop the machine; refused while jobs run.",
            "wait kill leave", example="ostler down --wait",
        ),
        Command(
            "status", "The machine", "status:main", "Say what the machine has and does.", "",
            example="ostler status",
        ),
        Command(
            "nodes", "The machine", "nodes:main", "List the nodes.", "of_rm format",
            example="ostler nodes",
        ),
        Command(
            "node", "The machine", "nodes:one", "Show all that is known of one node.", "",
            ("NAME", 1, 1), example="ostler node n1",
        ),
        Command(
            "nodes drain", "The machine", "nodes:word",
            "Give the nodes no new work; what runs there goes on.", "reason", ("NAME", 1, None),
            example="ostler nodes drain n1 --reason 'new disk'",
        ),
        Command(
            "nodes undrain", "The machine", "nodes:word", "Give the nodes work again.", "reason",
            ("NAME", 1, None), example="ostler nodes undrain n1",
        ),
        Command(
            "nodes features", "The machine", "nodes:describe",
            "Say what --constraint can name of these nodes; LIST is a100,ib or none.", "reset",
            ("NODES LIST", 1, 2), example="ostler nodes features 'n[1-3]' a100,ib",
        ),
        Command(
            "contexts", "The machine", "contexts:main",
            "Ask every node which contexts it holds.", "", example="ostler contexts",
        ),
        *SITE,
        Command(
            "events", "What happened", "events:main", "List what happened, oldest first.",
            "follow since job limit object says subscribe keep", ("[CLASS/TYPE]", 0, 1),
            example="ostler events -f node/status",
        ),
        Command(
            "events post", "What happened", "post:main",
            "Report something as an event, about OBJECT if it is given; print its serial.", "",
            ("CLASS/TYPE [OBJECT] TEXT", 2, 3),
            example="ostler events post user/backup home 'the copy is made'",
        ),
        Command(
            "events wait", "What happened", "post:wait",
            "Wait for an event, and print it; 5 if none came in time.",
            "object says timeout after_serial", ("[CLASS/TYPE]", 0, 1),
            example="ostler events wait job/ended --object 12 --timeout 2h",
        ),
        Command(
            "events ack", "What happened", "post:ack",
            "Say that you have dealt with event SERIAL; or that subscriber NAME has read all up to it.",
            "reason", ("[NAME] SERIAL", 1, 2), example="ostler events ack 4711 --reason 'fan changed'",
        ),
        Command(
            "events handled", "What happened", "handlers:handled",
            "List what handlers did about events, and how users were told.",
            "limit unfinished user format", ("[HANDLER]", 0, 1),
            example="ostler events handled --unfinished",
        ),
        Command(
            "handlers", "What happened", "handlers:main",
            "List the programs that are run when something happens.", "format",
            example="ostler handlers",
        ),
        Command(
            "handlers create", "What happened", "handlers:change",
            "Have a program run when an event comes: command=, event=, object=, user=, timeout=, retries=.",
            "", ("NAME KEY=VALUE", 2, None),
            example="ostler handlers create page event=node/status 'command=/usr/local/bin/page ops' timeout=30s",
        ),
        Command(
            "handlers set", "What happened", "handlers:change", "Change a handler.", "",
            ("NAME KEY=VALUE", 2, None), example="ostler handlers set page retries=2",
        ),
        Command(
            "handlers remove", "What happened", "handlers:change",
            "Remove a handler; what waits for it is dropped.", "", ("NAME", 1, 1),
            example="ostler handlers remove page",
        ),
        Command(
            "events forget", "What happened", "post:ack", "End a subscription.", "",
            ("NAME", 1, 1), example="ostler events forget mirror",
        ),
        Command(
            "history", "What happened", "events:history",
            "Say how a job came to be as it is; or a node, a partition, an attribute, ...: [KIND] NAME.",
            "", ("ID | [KIND] NAME", 1, 5), example="ostler history partition batch",
        ),
        Command(
            "acct", "What happened", "acct:main", "List what ended jobs used.",
            "user everybody of_project of_partition period since until job limit format csv",
            example="ostler acct --period today",
        ),
        Command(
            "usage", "What happened", "acct:usage",
            "Sum up how much was held and used; this month unless told.",
            "by user everybody of_project of_partition period since until format csv",
            example="ostler usage --all --by project,month --period year --csv",
        ),
        Command(
            "query", "What happened", "query:main",
            "Read the database with one SQL statement.", "csv archive", ("SQL", 1, 1),
            example='ostler query "select result, count(*) from jobs group by 1"',
        ),
        Command(
            "doctor", "Here", "doctor:main",
            "Say what this host lacks to do all that Ostler can, and how to get it.", "",
            example="ostler doctor",
        ),
        Command(
            "sim", "Here", "sim:main",
            "Replay workload traces (SWF, plain or gzip; - is stdin) and compare policies.",
            "sim_policy sim_rule sim_procs sim_load sim_classes per_job plot format sim_replay",
            ("TRACE", 0, None),
            example="ostler sim --policy easy,conservative --plot kth.png kth.swf.gz",
        ),
        Command(
            "completion", "Here", "completion:main",
            "Print what bash, zsh or fish must read to complete commands, options and ids.", "",
            ("SHELL", 1, None), rest=True,
            example="ostler completion bash >> ~/.bashrc",
        ),
        Command(
            "lab up", "A lab", "lab:up",
            "Start a lab: many nodes and a manager as processes of yours, to learn and to break.",
            "lab_nodes lab_cpus lab_memory lab_features lab_users managers", example="ostler lab up -n 10",
        ),
        Command(
            "lab down", "A lab", "lab:down",
            "End the lab and all that runs in it; its files stay until the next `lab up`.", "",
            example="ostler lab down",
        ),
        Command(
            "lab env", "A lab", "lab:env",
            "Print what a shell must eval, so that all other commands mean the lab.", "",
            example="ostler lab env",
        ),
        Command(
            "lab status", "A lab", "lab:status", "Say what each member of the lab does.", "",
            example="ostler lab status",
        ),
        Command(
            "lab kill", "A lab", "lab:verb",
            "End agent and supervisor with SIGKILL; starters and tasks live on.", "", _LAB,
            example="ostler lab kill n03",
        ),
        Command(
            "lab crash", "A lab", "lab:verb",
            "End everything on the nodes at once, as when the power goes.", "", _LAB,
            example="ostler lab crash 'n[03-05]'",
        ),
        Command(
            "lab start", "A lab", "lab:verb",
            "Start what was killed; boot what has crashed.", "", _LAB,
            example="ostler lab start n03",
        ),
        Command(
            "lab freeze", "A lab", "lab:verb",
            "Stop agent and supervisor with SIGSTOP: they live and do not answer; tasks go on.",
            "", _LAB, example="ostler lab freeze n03",
        ),
        Command(
            "lab thaw", "A lab", "lab:verb", "Let what is frozen go on.", "", _LAB,
            example="ostler lab thaw n03",
        ),
        Command(
            "lab cut", "A lab", "lab:verb",
            "Cut the nodes from the manager: bytes stand still both ways, nothing is reset.", "",
            _LAB, example="ostler lab cut n03 n04",
        ),
        Command(
            "lab heal", "A lab", "lab:verb", "Mend the line of the nodes.", "", _LAB,
            example="ostler lab heal n03 n04",
        ),
        Command(
            "lab load", "A lab", "lab:load", "Let the nodes report LOAD as their load average.",
            "", ("NODE LOAD", 2, None), example="ostler lab load n03 4.0",
        ),
    )
}  # fmt: skip

ALONE = {
    "config": "config effective",
    "lab": "lab status",
    "pool": "pool list",
    "rm": "rm list",
    "scheduler": "scheduler list",
}  # what a first word means without a second
