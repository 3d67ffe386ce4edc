-- The first schema. Comments inside a table are the reference's text: the lines before the first
-- column describe the table, the one behind a column describes the column. "private" there means:
-- `ostler query` shows it to the owner only, or to nobody.
-- Times are Unix seconds, sizes bytes, durations seconds.

CREATE TABLE jobs (
  -- One row for each request of a user: a single job, a whole array, or an allocation that is held.
  id INTEGER PRIMARY KEY, -- given by Ostler, rising, never used again
  name TEXT NOT NULL, -- chosen by the user; may be empty
  user TEXT NOT NULL, -- owner
  uid INTEGER NOT NULL, -- number of the owner where the job was submitted
  gid INTEGER NOT NULL, -- number of the owner's first group there
  project TEXT NOT NULL, -- what it is accounted to; may be empty
  partition TEXT NOT NULL, -- where it may run
  rm TEXT, -- the other resource manager that it is bound to; NULL: none
  state TEXT NOT NULL, -- held, pending, starting, running, suspended, finishing or done
  result TEXT, -- success, failed, cancelled, timeout, memory, lost, rejected or dependency; NULL before the end
  exit_status INTEGER, -- NULL before the end
  reason TEXT NOT NULL, -- one sentence on why it is in this state; may be empty
  rule TEXT NOT NULL, -- why it waits, one word; empty when it does not
  priority INTEGER NOT NULL, -- 0 to 100, higher goes first
  kind TEXT NOT NULL, -- batch; or run, alloc: a client waits and the job ends with it
  command TEXT NOT NULL, -- private: the command as a person would read it, at most 4,096 characters
  tasks INTEGER NOT NULL, -- processes of each element
  cpus INTEGER NOT NULL, -- for each task
  memory INTEGER NOT NULL, -- bytes for each task; 0: no limit
  gpus INTEGER NOT NULL, -- for each task
  nodes INTEGER NOT NULL, -- exactly so many nodes; 0: as few as it takes
  "constraint" TEXT, -- what its nodes must be like, as a100&!old; NULL: nothing
  exclusive INTEGER NOT NULL, -- 1: it gets whole nodes
  licences TEXT, -- that each element holds, as ansys:1,matlab:2; NULL: none
  reservation TEXT, -- in which it runs; NULL: in none
  time_limit_seconds INTEGER, -- NULL: none
  "array" TEXT, -- element numbers as 0-99 or 1,3,5-9; NULL when it is no array
  array_cap INTEGER, -- elements at once; NULL: as many as fit
  elements INTEGER NOT NULL, -- how many elements it has; 1 when it is no array
  "after" TEXT, -- jobs that must end before it starts, as 12,13:any; NULL: none
  held_by TEXT NOT NULL, -- who holds it; empty: nobody
  not_before REAL, -- earliest start; NULL: at once
  submitted_at REAL NOT NULL, -- when it was acknowledged
  started_at REAL, -- first start of any element; NULL before it
  ended_at REAL, -- end of the last element; NULL before it
  requeues INTEGER NOT NULL, -- how often an element went back to its queue after it had run
  request_id TEXT NOT NULL, -- private: chosen by the client, so that a repeated submission is the same job
  spec BLOB NOT NULL, -- private: everything that was asked for, as MessagePack
  rest TEXT, -- how the elements ended that have no row of their own, as they never started; NULL: they have not
  promised_start REAL -- the first start that the scheduler promised while it waited; NULL: none
) STRICT;

CREATE INDEX jobs_unfinished ON jobs (user) WHERE state <> 'done';
CREATE INDEX jobs_results ON jobs (result) WHERE state = 'done';
CREATE INDEX jobs_of_user ON jobs (user, id);
CREATE UNIQUE INDEX jobs_requests ON jobs (request_id, uid) WHERE request_id <> '';

CREATE VIEW steps AS SELECT
  -- One row for each step that was run in an allocation. What other tables tell of it has its `id`
  -- in their column `job`.
  j.id AS id, -- integer: a number of its own, from 1 << 61 on
  (j.id - 2305843009213693952) >> 20 AS job, -- integer: the job that holds the allocation
  j.id & 1048575 AS step, -- integer: its number there, from 0: step 0 of job 12 is `12.0`
  j.name AS name, -- text: chosen by the user; may be empty
  j.user AS user, -- text: owner
  j.state AS state, -- text: as in jobs
  j.result AS result, -- text: as in jobs; NULL before the end
  j.exit_status AS exit_status, -- integer: NULL before the end
  j.reason AS reason, -- text: one sentence on why it is in this state; may be empty
  j.rule AS rule, -- text: why it waits, one word; empty when it does not
  j.command AS command, -- text: private: the command as a person would read it
  j.tasks AS tasks, -- integer: its processes
  j.cpus AS cpus, -- integer: for each task
  j.memory AS memory, -- integer: bytes for each task; 0: no limit
  j.gpus AS gpus, -- integer: for each task
  j.submitted_at AS submitted_at, -- real: when it was acknowledged
  j.started_at AS started_at, -- real: NULL before its start
  j.ended_at AS ended_at, -- real: NULL before its end
  e.node AS node, -- text: names joined by commas; NULL before its end
  e.cpu_user_seconds AS cpu_user_seconds, -- real: NULL before its end
  e.cpu_system_seconds AS cpu_system_seconds, -- real: NULL before its end
  e.max_rss AS max_rss, -- integer: bytes, the greatest resident size; NULL before its end
  e.read_bytes AS read_bytes, -- integer: read from storage; NULL before its end
  e.written_bytes AS written_bytes -- integer: written to storage; NULL before its end
FROM jobs j LEFT JOIN elements e ON e.job = j.id AND e.element = 0
WHERE j.id >= 2305843009213693952;

CREATE TABLE elements (
  -- One row for each element that is no longer untouched; a job that is no array has element 0.
  -- An element that runs for the first time has its row when it ends.
  job INTEGER NOT NULL REFERENCES jobs (id), -- the job it belongs to
  element INTEGER NOT NULL, -- its number in the array
  state TEXT NOT NULL, -- as in jobs
  attempt INTEGER NOT NULL, -- starts so far
  held_by TEXT NOT NULL, -- who holds it; empty: nobody
  result TEXT, -- as in jobs
  exit_status INTEGER, -- the cause that ended it, else 128 + signal, else the OR of its tasks' statuses
  reason TEXT NOT NULL, -- one sentence; may be empty
  node TEXT NOT NULL, -- names joined by commas; empty before a start
  started_at REAL, -- start of the last attempt; NULL before it
  ended_at REAL, -- NULL before the end
  cpu_user_seconds REAL NOT NULL, -- as the kernel counted it for all its processes
  cpu_system_seconds REAL NOT NULL, -- as the kernel counted it for all its processes
  max_rss INTEGER NOT NULL, -- bytes: the greatest resident size
  read_bytes INTEGER NOT NULL, -- read from storage
  written_bytes INTEGER NOT NULL, -- written to storage
  suspended_seconds REAL NOT NULL, -- time in which it was suspended
  tasks TEXT NOT NULL, -- JSON: [[rank, exit code, signal or 0], ...]
  rm TEXT, -- of arrays that go to several: the resource manager in which it stays, `native` our own nodes; NULL: none yet
  PRIMARY KEY (job, element)
) STRICT, WITHOUT ROWID;

CREATE TABLE allocations (
  -- Resources granted to a job, kept after they were given back. They serve one attempt of one
  -- element; or, as a slot of an array, one element after the other.
  id INTEGER PRIMARY KEY, -- given by Ostler, rising, never used again
  job INTEGER NOT NULL REFERENCES jobs (id), -- the job it was granted to
  element INTEGER NOT NULL, -- and the element of it; of a slot: its first
  attempt INTEGER NOT NULL, -- which start of the element
  state TEXT NOT NULL, -- granted, ready, suspended, releasing or released
  epoch INTEGER NOT NULL, -- epoch of the role that granted it
  granted_at REAL NOT NULL, -- when the scheduler's line was accepted, or its nodes last changed
  started INTEGER NOT NULL, -- 1: some task may have run
  started_at REAL, -- first start of a task; NULL before it
  time_limit_seconds INTEGER, -- NULL: none
  suspended_at REAL, -- when it was suspended; NULL: it is not
  suspended_by TEXT, -- user (its owner), admin, configuration, scheduler or allocation; NULL: it is not
  suspended_so_far_seconds REAL NOT NULL, -- of earlier suspensions
  resuming INTEGER NOT NULL, -- 1: it is to go on as soon as its CPUs are free
  gave_way_to INTEGER, -- the job for which a scheduler suspended or ended it; NULL: for none
  cause TEXT NOT NULL, -- why it was ordered to end: a result or requeue; empty: it was not
  why TEXT NOT NULL, -- the sentence that goes with the cause
  end_cause TEXT NOT NULL, -- what ended it, as a node told; empty: its tasks ended by themselves
  end_why TEXT NOT NULL, -- the sentence that goes with it
  cpu_user_seconds REAL NOT NULL, -- of the nodes that are freed
  cpu_system_seconds REAL NOT NULL, -- of the nodes that are freed
  max_rss INTEGER NOT NULL, -- bytes: the greatest resident size on a freed node
  read_bytes INTEGER NOT NULL, -- of the nodes that are freed
  written_bytes INTEGER NOT NULL, -- of the nodes that are freed
  suspended_seconds REAL NOT NULL, -- as the freed nodes measured it
  tasks TEXT NOT NULL, -- JSON: [[rank, exit code, signal or 0], ...] of the nodes that are freed
  slot INTEGER NOT NULL, -- 1: it serves one element of an array after the other
  chunk TEXT, -- of a slot: elements handed to it that are not known to have ended; NULL: none
  heard INTEGER NOT NULL, -- of a slot: number of the last report about its elements
  running INTEGER, -- of a slot: the element that ran when that report was made; NULL: none
  running_since REAL, -- and since when; NULL: nothing ran there yet
  dropped INTEGER NOT NULL, -- tasks of nodes that it gave back, of which nobody asks how they ended
  resized INTEGER NOT NULL -- how often its nodes have changed while it ran
) STRICT;

CREATE INDEX allocations_held ON allocations (id) WHERE state <> 'released';
CREATE INDEX allocations_of_job ON allocations (job, element);

CREATE TABLE allocation_nodes (
  -- The share of an allocation on one node.
  allocation INTEGER NOT NULL REFERENCES allocations (id) ON DELETE CASCADE, -- whose share
  node TEXT NOT NULL, -- where
  position INTEGER NOT NULL, -- 0 for the first node of the allocation
  tasks INTEGER NOT NULL, -- processes here
  first_rank INTEGER NOT NULL, -- rank of the first of them
  cpus TEXT NOT NULL, -- JSON: CPU numbers; task i has the i-th run of them
  memory INTEGER NOT NULL, -- bytes of all tasks here together; 0: no limit
  gpus TEXT NOT NULL, -- JSON: GPU numbers
  generic TEXT NOT NULL, -- JSON: {name: count} of other resources
  made INTEGER NOT NULL, -- 1: the node holds the job's context
  freed INTEGER NOT NULL, -- 1: nothing of it is left on the node
  leaving INTEGER NOT NULL, -- 1: its tasks are asked to end, to give the node back; 2: it was given back
  PRIMARY KEY (allocation, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE accounting (
  -- One row for each attempt of an element that ran, written once at its end.
  allocation INTEGER NOT NULL, -- the allocation it ran on
  job INTEGER NOT NULL, -- the job
  element INTEGER NOT NULL, -- the element of it
  attempt INTEGER NOT NULL, -- which start of the element
  user TEXT NOT NULL, -- owner of the job
  project TEXT NOT NULL, -- what it is accounted to; may be empty
  partition TEXT NOT NULL, -- where it ran
  nodes TEXT NOT NULL, -- names joined by commas
  cpus INTEGER NOT NULL, -- granted, all tasks together
  memory INTEGER NOT NULL, -- bytes granted, all tasks together; 0: no limit
  gpus INTEGER NOT NULL, -- granted, all tasks together
  granted_at REAL NOT NULL, -- from when on it held them
  started_at REAL, -- start of its first task; NULL when that is not known
  ended_at REAL NOT NULL, -- when nothing of it was left
  result TEXT NOT NULL, -- a result as in jobs, requeued, or resized: it went on with other nodes
  exit_status INTEGER, -- NULL when nobody could tell
  cpu_user_seconds REAL NOT NULL, -- as the kernel counted it for all its processes
  cpu_system_seconds REAL NOT NULL, -- as the kernel counted it for all its processes
  max_rss INTEGER NOT NULL, -- bytes: the greatest resident size
  read_bytes INTEGER NOT NULL, -- read from storage
  written_bytes INTEGER NOT NULL, -- written to storage
  suspended_seconds REAL NOT NULL, -- time in which it was suspended
  first_of_job INTEGER NOT NULL, -- 1: no attempt of its job had ended before
  part INTEGER NOT NULL, -- how often the allocation had been resized before
  PRIMARY KEY (allocation, job, element, attempt, part)
) STRICT, WITHOUT ROWID;

CREATE INDEX accounting_by_end ON accounting (ended_at, granted_at);
CREATE INDEX accounting_of_job ON accounting (job, element);

CREATE TABLE daily_use (
  -- What attempts used, summed by the days of the manager's calendar. Of an attempt each day has
  -- the part that lies in it; as one of jobs and attempts it counts on the day of its end.
  since REAL NOT NULL, -- when the day began
  until REAL NOT NULL, -- when it ended
  user TEXT NOT NULL, -- owner of the jobs
  project TEXT NOT NULL, -- what they are accounted to; may be empty
  partition TEXT NOT NULL, -- where they ran
  jobs INTEGER NOT NULL, -- whose first attempt ended
  attempts INTEGER NOT NULL, -- that ended
  unsuccessful INTEGER NOT NULL, -- of them
  held_cpu_seconds REAL NOT NULL, -- CPUs granted, times the time, without suspensions
  used_cpu_seconds REAL NOT NULL, -- as the kernel counted it
  held_gpu_seconds REAL NOT NULL, -- GPUs granted, times the time, without suspensions
  held_memory_byte_seconds REAL NOT NULL, -- memory granted, times the time, without suspensions
  max_rss INTEGER NOT NULL, -- bytes: the greatest resident size of one attempt
  read_bytes REAL NOT NULL, -- read from storage
  written_bytes REAL NOT NULL, -- written to storage
  PRIMARY KEY (since, until, user, project, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  -- What happened, in order; rows are added and never changed.
  serial INTEGER PRIMARY KEY, -- rising, never used again
  at REAL NOT NULL, -- when
  kind TEXT NOT NULL, -- job/submitted, allocation/granted, node/status, ...
  job INTEGER, -- the job it is about; NULL: none
  element INTEGER, -- the element of it; NULL: the whole job
  allocation INTEGER, -- the allocation it is about; NULL: none
  node TEXT, -- the node it is about; NULL: none
  user TEXT, -- who did it or whose it is; NULL: nobody's
  text TEXT NOT NULL, -- one sentence
  object TEXT -- what it is about, where that is neither a job nor a node; NULL: nothing else
) STRICT;

CREATE INDEX events_of_job ON events (job) WHERE job IS NOT NULL;
CREATE INDEX events_of_node ON events (node) WHERE node IS NOT NULL;

CREATE TABLE handled (
  -- What is done about events: one row for each event and each handler, or user who is told.
  first INTEGER NOT NULL, -- serial of the event, or of the first of several that are handled as one
  handler TEXT NOT NULL, -- its name; or mail, webhook: a user is told; by-hand: a person dealt with it
  event INTEGER NOT NULL, -- serial of the event that the handler is told of: the newest of them
  events INTEGER NOT NULL, -- how many they are
  state TEXT NOT NULL, -- waiting, running or done
  attempt INTEGER NOT NULL, -- attempts so far
  due_at REAL NOT NULL, -- no attempt begins before that
  began_at REAL, -- when the last one began; NULL: none has
  ended_at REAL, -- when it was done; NULL: it is not
  result TEXT, -- of the last attempt: success, failed, late, hopeless or dropped; NULL: none has ended
  exit_status INTEGER, -- of the handler's program, or 128 + signal; NULL: not known, or no program
  reason TEXT NOT NULL, -- one sentence; may be empty
  user TEXT, -- who is told, or dealt with it; NULL: a handler's program is run
  notice BLOB, -- private: what a user is told and where, as MessagePack; NULL: none is
  PRIMARY KEY (first, handler)
) STRICT, WITHOUT ROWID;

CREATE INDEX handled_open ON handled (first) WHERE state <> 'done';

CREATE TABLE postings (
  -- Which event a request of `ostler events post` was, so that a repeated request is the same event.
  uid INTEGER NOT NULL, -- who posted it
  request_id TEXT NOT NULL, -- chosen by the client
  serial INTEGER NOT NULL, -- of the event
  PRIMARY KEY (uid, request_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX postings_of_event ON postings (serial);

CREATE TABLE subscribers (
  -- How far each subscriber of `ostler events --subscribe` has read the events.
  uid INTEGER NOT NULL, -- whose subscriber it is
  name TEXT NOT NULL, -- chosen by that user
  user TEXT NOT NULL, -- the user's name
  serial INTEGER NOT NULL, -- of the last event that was acknowledged
  at REAL NOT NULL, -- when that was
  PRIMARY KEY (uid, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE nodes (
  -- One row for each node that ever was in the machine.
  name TEXT PRIMARY KEY, -- its name in the machine
  partition TEXT NOT NULL, -- the partition it serves
  rm TEXT, -- the other resource manager whose node it is; NULL: the machine's own
  status TEXT NOT NULL, -- as seen from outside: unreachable, no_agent or running
  since REAL NOT NULL, -- when the status last changed
  unknown_since REAL, -- since when what runs there cannot be seen; NULL: it can
  word TEXT NOT NULL, -- what an administrator said: in, draining or out
  word_by TEXT NOT NULL, -- who said it; empty: nobody
  word_at REAL, -- when; NULL: never
  word_reason TEXT NOT NULL, -- and why
  boot_id TEXT NOT NULL, -- the kernel's name of the node's present boot
  gone INTEGER NOT NULL, -- 1: it left the machine for good
  cpus INTEGER NOT NULL, -- how many it has to give
  memory INTEGER NOT NULL, -- bytes it has to give
  gpus INTEGER NOT NULL, -- how many it has to give
  cpu_numbers TEXT NOT NULL, -- JSON: the CPUs by number
  gpu_numbers TEXT NOT NULL, -- JSON: the GPUs by number
  generic TEXT NOT NULL, -- JSON: {name: count} of other resources
  features TEXT NOT NULL, -- JSON: what a constraint can name
  own_features TEXT, -- JSON: those that it declared itself; NULL: the same
  declared INTEGER NOT NULL, -- 1: its sizes were given, not probed
  until REAL NOT NULL, -- when it ends, and all that runs there; 0: never
  last_update REAL, -- when its agent was last heard of; NULL: never
  checked_at REAL, -- when it was last looked at from outside; NULL: never
  agent_pid INTEGER, -- process of the agent that answered last; NULL: none has
  agent_started_at REAL -- when that process started; NULL: none has answered
) STRICT, WITHOUT ROWID;

CREATE TABLE partitions (
  -- Sets of nodes with one queue each. Which nodes: see configurations.
  name TEXT PRIMARY KEY, -- what -p names
  kind TEXT NOT NULL, -- general, parallel, login (takes no jobs) or batch
  is_default INTEGER NOT NULL, -- 1: jobs that name none go here
  state TEXT NOT NULL, -- as an administrator said: up, draining or down
  time_limit INTEGER, -- seconds that a job may ask for at most; NULL: as long as it likes
  default_time INTEGER, -- seconds, for jobs that ask for none; NULL: no limit
  min_cpus INTEGER NOT NULL, -- that a job must ask for
  memory_limit INTEGER, -- bytes for each CPU; NULL: what there is
  time_slice INTEGER NOT NULL, -- seconds of a turn, where jobs take turns; 0: they do not
  tier INTEGER NOT NULL, -- what waits in a higher tier may preempt what runs in a lower one
  priority_gap INTEGER NOT NULL, -- so may a job of so much more priority; 0: tiers alone
  preemption TEXT NOT NULL, -- of what runs here: off, suspend, requeue or cancel
  least_run INTEGER NOT NULL, -- seconds that a job may run before it is preempted
  preempt_grace INTEGER, -- seconds from SIGTERM to SIGKILL of the preempted; NULL: as the job has it
  policy TEXT, -- who may pass whom; NULL: as the attribute scheduler-policy says
  factor REAL NOT NULL, -- its part in the order of jobs, 0 to 1
  scheduler TEXT, -- who plans it; NULL: the one that is built in
  shadow TEXT, -- whose plans are only compared with those; NULL: nobody's
  prolog TEXT, -- full path of a program, or off; NULL: as the attribute prolog says
  epilog TEXT -- full path of a program, or off; NULL: as the attribute epilog says
) STRICT, WITHOUT ROWID;

INSERT INTO partitions VALUES (
  'main', 'general', 1, 'up', NULL, NULL, 0, NULL, 0, 0, 0, 'off', 0, NULL, NULL, 0.0, NULL, NULL, NULL, NULL
);

CREATE TABLE configurations (
  -- Divisions of the nodes among partitions. One of them is active.
  name TEXT PRIMARY KEY, -- chosen by an administrator
  active INTEGER NOT NULL, -- 1: it is in force
  nodes TEXT NOT NULL, -- JSON: {partition: nodes as in n[01-04]}; * is all that no other names
  calendar TEXT NOT NULL, -- when it becomes active by itself; empty: never
  moved TEXT NOT NULL, -- what becomes of jobs on nodes that move then: go_on, drain or suspend
  since REAL NOT NULL -- when it was used, or calendars were changed, last; of the active one
) STRICT, WITHOUT ROWID;

INSERT INTO configurations VALUES ('default', 1, '{"main": "*"}', '', 'go_on', 0.0);

CREATE TABLE access_controls (
  -- Who may do what in a partition. Of a user the own row counts first, then that of a group, of
  -- the project, and the default; each value is that of the first row that has it.
  partition TEXT NOT NULL, -- where; * is everywhere
  class TEXT NOT NULL, -- user, group, project or default
  name TEXT NOT NULL, -- of the user, group or project; empty for default
  allow INTEGER, -- 1: may use the partition, which is closed to all others then; 0: may not; NULL: not said
  kinds TEXT, -- JSON: kinds of work that may run: parallel, serial, shell; NULL: not said
  max_cpus INTEGER, -- in use at a time; NULL: not said
  max_memory INTEGER, -- bytes for each CPU; NULL: not said
  priority INTEGER, -- the highest that may be asked for; NULL: not said
  time_limit INTEGER, -- seconds, the longest that may be asked for; NULL: not said
  running INTEGER, -- jobs at a time; NULL: not said
  waiting INTEGER, -- jobs at a time; NULL: not said
  cpu_minutes INTEGER, -- that running jobs may still use up to their time limits; NULL: not said
  PRIMARY KEY (partition, class, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
  -- Whom work is accounted to, and the tree of shares.
  name TEXT PRIMARY KEY, -- what --project names
  parent TEXT NOT NULL, -- the project that it is a part of; empty: none
  shares INTEGER NOT NULL, -- its part of what the parent has, beside its siblings
  description TEXT NOT NULL -- in an administrator's words
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  -- What is known of users beside what the system's own tables say; not all have a row.
  name TEXT PRIMARY KEY, -- as the system knows them
  role TEXT NOT NULL, -- user, operator or admin
  projects TEXT NOT NULL, -- JSON: projects they may account to; the first is where work goes that names none
  shares INTEGER NOT NULL -- their part of what each of these has
) STRICT, WITHOUT ROWID;

CREATE TABLE reservations (
  -- Nodes kept for somebody, or from everybody, for a time that may come again.
  name TEXT PRIMARY KEY, -- what --reservation names
  nodes TEXT NOT NULL, -- as in n[01-04], or partition:NAME: all that it has at any time
  start REAL NOT NULL, -- of its first time
  duration INTEGER NOT NULL, -- seconds
  users TEXT NOT NULL, -- JSON: who may use the nodes; with no project either: nobody
  projects TEXT NOT NULL, -- JSON: whose members may
  days TEXT NOT NULL, -- JSON: weekdays on which it comes again, 0 is Monday; none: once
  until REAL, -- no time of it begins then or later; NULL: for ever
  utc_offset INTEGER NOT NULL -- seconds east of UTC when it was made: it keeps its time of day by it
) STRICT, WITHOUT ROWID;

CREATE TABLE event_handlers (
  -- Programs that are run when something happens.
  name TEXT PRIMARY KEY, -- chosen by an administrator
  command TEXT NOT NULL, -- words of a program; five more from the event come behind them
  event TEXT NOT NULL, -- CLASS or CLASS/TYPE of the events; empty: any
  object TEXT NOT NULL, -- what they are about, with * and ?; empty: anything
  user TEXT NOT NULL, -- as whom it runs; empty: the owner of a personal machine, else nobody
  timeout INTEGER NOT NULL, -- seconds after which it is killed
  retries INTEGER NOT NULL, -- further attempts when one has failed
  every INTEGER NOT NULL -- 1: a run for each event, even when many alike wait
) STRICT, WITHOUT ROWID;

CREATE TABLE resource_managers (
  -- Other resource managers, whose nodes are part of the machine by their drivers.
  name TEXT PRIMARY KEY, -- chosen by an administrator; stands before the / of its nodes and jobs
  driver TEXT NOT NULL, -- kind of the driver
  settings TEXT NOT NULL, -- JSON: what the driver is told
  enabled INTEGER NOT NULL, -- 1: it is asked
  "interval" INTEGER NOT NULL, -- seconds from one load of its nodes and jobs to the next
  deadline INTEGER NOT NULL, -- seconds that a call of its driver may take
  node_sync INTEGER NOT NULL, -- seconds that a node may differ from what should be; then its word counts
  job_sync INTEGER NOT NULL, -- the same of a job
  node_purge INTEGER NOT NULL, -- seconds that a node may be missing before it has left
  job_purge INTEGER NOT NULL, -- seconds that a job may be missing before it is lost
  retries INTEGER NOT NULL, -- further tries to start a job that it refused for a cause that may pass
  retry INTEGER NOT NULL, -- seconds until the first of them; twice as many until each other one
  shares_hosts INTEGER NOT NULL, -- 1: its nodes count even where others' are the same computers
  workers INTEGER NOT NULL -- nodes that are asked for at a time, where they are asked for one by one
) STRICT, WITHOUT ROWID;

CREATE TABLE pools (
  -- Agents as jobs in other resource managers: nodes of ours for a while.
  name TEXT PRIMARY KEY, -- the resource manager
  most INTEGER NOT NULL, -- nodes at a time
  least INTEGER NOT NULL, -- nodes that are kept whether or not there is work
  idle INTEGER NOT NULL, -- seconds without work after which one is given back
  cpus INTEGER NOT NULL, -- of each
  memory INTEGER NOT NULL, -- bytes of each; 0: whatever its host has
  time INTEGER NOT NULL, -- seconds for which one is asked for
  options TEXT NOT NULL -- JSON: words for the resource manager alone
) STRICT, WITHOUT ROWID;

CREATE TABLE schedulers (
  -- Programs that plan for the partitions which name them.
  name TEXT PRIMARY KEY, -- chosen by an administrator
  command TEXT NOT NULL, -- words of a program, or MODULE:CLASS
  user TEXT NOT NULL, -- whose process it is; empty: the owner's of a personal machine, else nobody's
  deadline INTEGER NOT NULL, -- seconds for one plan
  memory INTEGER NOT NULL -- bytes of address space that it may have
) STRICT, WITHOUT ROWID;

CREATE TABLE rm_nodes (
  -- What other resource managers say of their nodes; each has a row in nodes, too.
  name TEXT PRIMARY KEY, -- as in nodes
  rm TEXT NOT NULL, -- the resource manager
  state TEXT NOT NULL, -- up, draining, down or unknown
  native_state TEXT NOT NULL, -- in its own words; may be empty
  reason TEXT NOT NULL, -- why it is not up, in its own words; may be empty
  host TEXT NOT NULL, -- the computer behind it; empty: not told
  missing_since REAL -- since when it is not listed any more; NULL: it is
) STRICT, WITHOUT ROWID;

CREATE TABLE rm_jobs (
  -- The jobs of other resource managers: one row for each attempt of an element there.
  job INTEGER NOT NULL, -- the job here
  element INTEGER NOT NULL, -- and the element of it
  attempt INTEGER NOT NULL, -- which start of the element
  rm TEXT NOT NULL, -- the resource manager
  id TEXT NOT NULL, -- as it calls the job; empty: it has not said
  incarnation TEXT NOT NULL, -- tells the job from an older one of the same id; may be empty
  token TEXT NOT NULL, -- by which its start is known; empty: it was not asked for here
  allocation INTEGER, -- that it has; NULL: none
  theirs INTEGER NOT NULL, -- 1: it was submitted to the resource manager itself
  stage TEXT NOT NULL, -- waits, asked, taken, seen or over
  since REAL NOT NULL, -- when it came there, or since when it differs from what it should be
  state TEXT NOT NULL, -- as last told: idle, held, starting, running, suspended, ending, vacated or unknown; may be empty
  native_state TEXT NOT NULL, -- in the resource manager's own words; may be empty
  reason TEXT NOT NULL, -- likewise; may be empty
  missing_since REAL, -- since when it is not listed any more; NULL: it is
  differs TEXT NOT NULL, -- how it differs from what it should be; empty: it does not
  before TEXT, -- tokens of its starts that were given up, with blanks between them; NULL: of none
  PRIMARY KEY (job, element, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX rm_jobs_by_id ON rm_jobs (rm, id);
CREATE INDEX rm_jobs_open ON rm_jobs (since) WHERE stage <> 'over';
CREATE INDEX rm_jobs_by_time ON rm_jobs (since);

CREATE TABLE discrepancies (
  -- What other resource managers told that was not as it should be, and what was done about it.
  serial INTEGER PRIMARY KEY, -- of the event that tells of it
  at REAL NOT NULL, -- when it was found
  rm TEXT NOT NULL, -- who told it
  kind TEXT NOT NULL, -- node_back, node_busy, node_idle, node_renamed, not_started, elsewhere, more_cpus, state or stray
  object TEXT NOT NULL, -- the node or job
  before TEXT NOT NULL, -- as it should be
  after TEXT NOT NULL, -- as it was told
  done TEXT NOT NULL, -- what was done
  over_at REAL -- when it was so no longer; NULL: it still is
) STRICT;

CREATE INDEX discrepancies_open ON discrepancies (serial) WHERE over_at IS NULL;

CREATE TABLE transactions (
  -- Who changed which row of the tables above or of attributes; rows are added and never changed.
  serial INTEGER PRIMARY KEY, -- rising, never used again
  at REAL NOT NULL, -- when
  user TEXT NOT NULL, -- who
  verb TEXT NOT NULL, -- create, set or remove
  kind TEXT NOT NULL, -- partition, configuration, access, project, user, reservation, handler, rm, scheduler or attribute
  name TEXT NOT NULL, -- which row; of access: partition, class, name
  before TEXT, -- JSON: what it had; NULL: there was none
  after TEXT, -- JSON: what it has; NULL: it is gone
  request INTEGER NOT NULL -- serial of the first row that was changed by the same request
) STRICT;

CREATE INDEX transactions_of_object ON transactions (name, kind);

CREATE TABLE answered (
  -- What came of a request for such changes, so that a repeated request is told it and changes nothing.
  uid INTEGER NOT NULL, -- who asked
  request_id TEXT NOT NULL, -- chosen by the client
  at REAL NOT NULL, -- when; it is kept as long as the events of that time
  answer TEXT NOT NULL, -- JSON
  PRIMARY KEY (uid, request_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE attributes (
  -- Settings that differ from what Ostler ships with.
  key TEXT PRIMARY KEY, -- as `ostler config set` names it
  value TEXT NOT NULL, -- in force
  set_by TEXT NOT NULL, -- who set it
  set_at REAL NOT NULL -- when
) STRICT, WITHOUT ROWID;

CREATE TABLE blobs (
  -- Environments, scripts and lists of --each, kept once under their digest. Administrators see
  -- digest, uid and size; the text itself is shown to nobody here.
  digest TEXT PRIMARY KEY, -- SHA-256 of the bytes, hexadecimal
  uid INTEGER NOT NULL, -- who brought it first
  size INTEGER NOT NULL GENERATED ALWAYS AS (length(data)) VIRTUAL, -- bytes
  data BLOB NOT NULL -- private: the bytes
) STRICT;

CREATE TABLE roles (
  -- Who may write and give orders. A writer whose epoch is not the one here is refused.
  role TEXT PRIMARY KEY, -- machine, or partition: and a name
  holder TEXT NOT NULL, -- name of the manager; empty: nobody
  pid INTEGER NOT NULL, -- its process
  start_time REAL NOT NULL, -- tells it from a later process of that number
  boot_id TEXT NOT NULL, -- boot of the host in which the process runs
  epoch INTEGER NOT NULL, -- from one sequence for all roles; rises at each change of holder
  lease_until REAL NOT NULL, -- seconds of the holder's CLOCK_BOOTTIME; over after that
  lease_boot_id TEXT NOT NULL, -- boot whose clock that is; a lease of another boot is over
  taken_at REAL NOT NULL -- when the holder took it
) STRICT, WITHOUT ROWID;

CREATE VIEW servers AS SELECT
  -- The daemons: the manager that has the machine role, and the agent of each node as it was last
  -- seen from outside.
  'manager' AS daemon, -- text: manager or agent
  holder AS host, -- text: where it runs: host and process of a manager, the node of an agent
  pid AS pid, -- integer: its process; of an agent NULL before it has answered
  taken_at AS started_at, -- real: when it started; of a manager, when it took the role
  'running' AS status -- text: running; of an agent, the status of its node
FROM roles WHERE role = 'machine' AND holder <> ''
UNION ALL
SELECT 'agent', name, agent_pid, agent_started_at, status FROM nodes
 WHERE NOT gone AND rm IS NULL;
