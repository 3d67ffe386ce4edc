"""Every option, written once; `table` says which command has which.

Imports nothing: everyday commands load it. What the options mean is in `ask.py`.
"""


class Option:
    """One option. `metavar` is empty for a flag; `many` collects all its values in a list."""

    __slots__ = ("flags", "help", "many", "metavar", "name")

    def __init__(
        self,
        name: str,
        flags: str,
        metavar: str,
        text: str,
        *,
        many: bool = False,
    ) -> None:
        self.name = name
        self.flags = flags.split("/")
        self.metavar = metavar
        self.help = text
        self.many = many


OPTIONS: dict[str, Option] = {
    o.name: o
    for o in (
        # what a job asks for
        Option("partition", "-p/--partition", "NAME", "where to run; the default one unless told"),
        Option("rm", "--rm", "NAME", "only in this resource manager; `native`: on our own nodes"),
        Option("in_partition", "-p/--partition", "NAME", "in this partition"),
        Option("of_rm", "--rm", "NAME", "of this resource manager alone, everybody's; `native`: of none"),
        Option("tasks", "-n/--tasks", "N", "tasks side by side; `run` and `submit` start CMD for each"),
        Option("cpus", "-c/--cpus", "N", "CPUs of each task"),
        Option("memory", "-m/--memory", "SIZE", "most memory of each task: 512M, 8G"),
        Option("time", "-t/--time", "TIME", "time limit: 90s, 90m, 2h, 1d, 1:30:00"),
        Option("nodes", "-N/--nodes", "N", "exactly so many nodes"),
        Option("tasks_per_node", "--tasks-per-node", "N", "at most N on a node; without -n exactly N"),
        Option("distribution", "--distribution", "block|cyclic", "ranks node by node, or in turns"),
        Option("kill_on_bad_exit", "--kill-on-bad-exit", "", "the first task to fail ends all"),
        Option("verbose", "--verbose", "", "say first on stderr where each task runs, with what"),
        Option("gpus", "--gpus", "N", "GPUs of each task"),
        Option("generic", "--generic", "NAME=N", "named resource of each task", many=True),
        Option("constraint", "-C/--constraint", "FEATURES", "only nodes like this: 'a100&!old', 'rack1*2&rack2*1'"),
        Option("exclusive", "--exclusive", "", "whole nodes: all that they have, and nobody else there"),
        Option("spread", "--spread", "", "tasks over as many nodes as there can be, not as few"),
        Option("licences", "-L/--licences", "NAME:N", "licences of the machine, for all tasks together: matlab:2,ansys"),
        Option("reservation", "--reservation", "NAME", "on the nodes of this reservation"),
        Option("nodelist", "-w/--nodelist", "NODES", "only on these: n1,n3 or 'n[1-3]'"),
        Option("exclude", "-x/--exclude", "NODES", "on none of these"),
        Option("name", "-J/--name", "NAME", "name of the job; the command's unless told"),
        Option("renamed", "-J/--name", "NAME", "name of the job"),
        Option("project", "--project", "NAME", "whom to account it to"),
        Option("work", "--kind", "shell", "somebody types at it, as --pty says too: partitions may keep such work out"),
        Option("priority", "--priority", "N", "0 to 100, higher goes first; 50 unless told"),
        Option("boost", "--boost", "N", "0 to 100, for administrators: moves it up the queue"),
        Option("chdir", "-D/--chdir", "DIR", "working directory; this one unless told"),
        Option("env", "--env", "none|K|K=V", "carry nothing, only K; set K to V", many=True),
        Option("umask", "--umask", "MODE", "octal; this shell's unless told"),
        Option("requeue", "--requeue", "", "may run again when it was lost with its node"),
        Option("retries", "--retries", "N", "run again up to N times when it fails"),
        Option("retry_on", "--retry-on", "LIST", "only these exit statuses and results: 75,lost"),
        Option("signal", "--signal", "SIG@SECONDS", "warn so long before the time limit: USR1@60"),
        # when, how often and where to
        Option("array", "--array", "RANGES[%N]", "elements 0-99, at most N at once: 0-99%10; each has its number in OSTLER_ELEMENT"),
        Option("each", "--each", "FILE", "an element for each line, in OSTLER_ITEM; - is stdin"),
        Option("after", "--after", "JOB[:ok|any|fail|each]", "start when that job has ended", many=True),
        Option("mail", "--mail", "LIST", "be mailed at these moments: begin,end,fail; element: when one of an array fails"),
        Option("mail_to", "--mail-to", "ADDRESS", "where to; your name unless told"),
        Option("notify", "--notify", "URL", "post JSON there at its begin and end; @FILE: the URL is in that file"),
        Option("not_before", "--not-before", "WHEN", "17:30, 2026-12-24T18:00, +30m"),
        Option("hold", "--hold", "", "do not start before `ostler release`"),
        Option("output", "-o/--output", "FILE", "ostler-%j.out unless told; %j job, %a element, %t task, %n node, %x name, %u user"),
        Option("error", "-e/--error", "FILE", "pattern; where the output goes unless told"),
        Option("input", "-i/--input", "FILE", "standard input; /dev/null unless told"),
        Option("file", "--file", "FILE", "all jobs of a TOML file, or none; - is stdin"),
        Option("dry_run", "--dry-run", "", "only say what would be asked and when it would start"),
        # of single commands
        Option("immediate", "--immediate", "", "exit with 5 at once if it cannot be granted now"),
        Option("idle", "--idle", "TIME", "end it when no step has run in it for so long"),
        Option("pool_most", "--max-nodes", "N", "have so many such nodes at the most"),
        Option("pool_idle", "--idle", "TIME", "give one back when it has had nothing to do for so long"),
        Option("pool_from", "--from", "RM", "from the pool of this resource manager"),
        Option("steps", "--steps", "", "also the steps in allocations"),
        Option("ranked", "--label", "", "begin each line of output with the rank of its task"),
        Option("stdin", "--stdin", "first|all|none", "which tasks read the input; the first"),
        Option("pty", "--pty", "", "give the task a terminal, as a shell or an editor needs"),
        Option("detach", "--detach", "", "keep the job when this client goes away; `ostler attach` gets it back"),
        Option("up", "--up", "", "start a machine on this host if none is up"),
        Option("declared_cpus", "--cpus", "N", "offer N CPUs instead of what this host has"),
        Option("declared_memory", "--memory", "SIZE", "offer so much memory"),
        Option("declared_gpus", "--gpus", "N", "offer N GPUs"),
        Option("declared_generic", "--generic", "NAME=N", "offer a named resource", many=True),
        Option("declared_features", "--features", "LIST", "words that jobs can name with --constraint: a100,ib"),
        Option("system", "--system", "", "a machine for all users of this host; root only"),
        Option("foreground", "--foreground", "", "stay until interrupted, then stop the machine"),
        Option("wait", "--wait", "", "let the jobs end first; start none"),
        Option("kill", "--kill", "", "end the jobs that run"),
        Option("drain", "--drain", "", "let the jobs go on, and do not wait for them"),
        Option("kill_again", "--kill", "", "end the jobs that run; those of --requeue wait again"),
        Option("dry", "--dry-run", "", "only say what would move"),
        Option("leave", "--leave", "", "let what runs go on; the next `up` takes it back"),
        Option("user", "--user", "NAME", "of this user"),
        Option("in_state", "--state", "LIST", "in these states: running,done; a word with a / is DIR"),
        Option("since", "--since", "WHEN", "what happened since: 2h (ago), 08:00, a date"),
        Option("of_project", "--project", "NAME", "of this project"),
        Option("of_partition", "-p/--partition", "NAME", "that ran in this partition"),
        Option("until", "--until", "WHEN", "and up to that time"),
        Option("period", "--period", "WORD", "today, yesterday, week, last-month, 2026-11, 2026-11-30 or FROM..TO"),
        Option("by", "--by", "LIST", "a row for each user, project, partition, day or month; user unless told"),
        Option("archive", "--archive", "MONTH", "what jobs-lifetime moved to an archive: 2026-11"),
        Option("csv", "--csv", "", "comma-separated values, for spreadsheets and scripts"),
        Option("all", "--all", "", "of all users, ended ones too"),
        Option("tree", "--tree", "", "each below what it waits for"),
        Option("everybody", "--all", "", "of all users"),
        Option("format", "--format", "KEYS", "these columns, named as in --json: id,state"),
        Option("reason", "--reason", "TEXT", "kept in the story of the job or node"),
        Option("case", "--case", "NAME", "only this one", many=True),
        Option("reset", "--reset", "", "those again that the nodes declared themselves"),
        Option("failed", "--failed", "", "only elements that did not succeed"),
        Option("follow", "-f/--follow", "", "go on until it ends, or until interrupted"),
        Option("errors", "-e/--error", "", "the error file instead of the output"),
        Option("label", "-l/--label", "", "begin each line with the element's id"),
        Option("suppose", "--if", "K=V,…", "if it asked for that, as with submit: time=2h,cpus=4; without ID: if a new job did", many=True),
        Option("suppose_nodes", "--if-nodes", "+N|-NODE", "if there were N idle nodes more, or as +N:NODE; if NODE took no work", many=True),
        Option("watch", "--watch", "", "show it anew each second, until Ctrl-C"),
        Option("array_cap", "--array", "%N", "at most N elements at once"),
        Option("end_tasks", "--end-tasks", "", "with --nodes: end tasks that run on nodes to be given back"),
        Option("job", "--job", "ID", "of this job"),
        Option("limit", "--limit", "N", "at most the last N"),
        Option("object", "--object", "NAME", "about this job, node or other thing; * and ? mean any signs"),
        Option("says", "--text", "PATTERN", "whose text has this in it; with * and ? the whole text"),
        Option("timeout", "--timeout", "TIME", "wait so long at most: 90s, 2h"),
        Option("after_serial", "--after", "SERIAL", "one later than this event; unless told: than now"),
        Option("subscribe", "--subscribe", "NAME", "what was not read yet under this name; what is printed counts as read"),
        Option("unfinished", "--unfinished", "", "only what waits or runs"),
        Option("keep", "--keep", "", "with --subscribe: count nothing as read before `ostler events ack`"),
        # of administrators
        Option("only_dry", "--dry-run", "", "only print what would change"),
        Option("access_user", "--user", "NAME", "about this user"),
        Option("access_group", "--group", "NAME", "about members of this group of the system"),
        Option("access_project", "--project", "NAME", "about work of this project"),
        Option("access_kinds", "--kind", "LIST", "kinds of work that may run: parallel, serial, shell"),
        Option("access_max_cpus", "--max-cpus", "N", "CPUs in use at a time; none: not said"),
        Option("access_max_memory", "--max-mem", "SIZE", "memory for each CPU"),
        Option("access_priority", "--priority", "N", "the highest that may be asked for"),
        Option("access_time_limit", "-t/--time", "TIME", "the longest that may be asked for"),
        Option("access_running", "--running", "N", "jobs that run at a time"),
        Option("access_waiting", "--waiting", "N", "jobs that wait at a time"),
        Option("access_cpu_minutes", "--cpu-minutes", "N", "CPU-minutes that running jobs may still use up to their time limits"),
        # of a lab
        Option("lab_nodes", "-n/--nodes", "N", "how many nodes; 10 unless told"),
        Option("lab_cpus", "--cpus", "N", "CPUs of each node; 4 unless told"),
        Option("lab_memory", "--memory", "SIZE", "memory of each node; 8G unless told"),
        Option("lab_users", "--users", "NAMES", "test identities, for `ostler --as NAME`; ann,bob unless told"),
        Option("lab_features", "--features", "NODES=LIST", "features of some nodes: 'n[01-03]=a100,ib'", many=True),
        Option("managers", "-m/--managers", "N", "how many managers; only 1 so far"),
        # of replays
        Option("sim_policy", "--policy", "LIST", "fcfs, easy, easy-sjbf, conservative, reserved-K: the first K that wait are promised a start; easy unless told", many=True),
        Option("sim_rule", "--rule", "event|batch", "events of one second: a pass after each, or one for all; event"),
        Option("sim_procs", "--procs", "N", "processors of the machine, instead of what the trace says"),
        Option("sim_load", "--load", "F", "divide the times between submissions by F: 1.2 is a fifth more load"),
        Option("sim_classes", "--classes", "", "also by processors and by run time"),
        Option("sim_replay", "--replay", "FILE", "instead of traces: decisions that a machine wrote down; with --policy, what that had done"),
        Option("per_job", "--per-job", "FILE", "write the wait of each job there, as CSV; one trace, one policy"),
        Option("plot", "--plot", "FILE", "draw it: .png or .svg; needs ostler[plot]", many=True),
        # everywhere
        Option("state", "--state", "DIR", "folder of the machine (or OSTLER_STATE)"),
        Option("json", "--json", "", "one JSON document on stdout and nothing else"),
        Option("quiet", "-q/--quiet", "", "say less; tables without a heading"),
    )
}  # fmt: skip

GENERAL = ["state", "json", "quiet"]


class Command:
    """One command, maybe of two words.

    words: (metavar, at least, at most or None) of the positional arguments; rest: everything from
    the first positional argument on belongs to the job. main: MODULE:FUNCTION below `ostler.cli`.
    """

    __slots__ = ("example", "group", "main", "name", "options", "rest", "summary", "words")

    def __init__(
        self,
        name: str,
        group: str,
        main: str,
        summary: str,
        options: str = "",
        words: tuple[str, int, int | None] = ("", 0, 0),
        *,
        example: str,
        rest: bool = False,
    ) -> None:
        self.name = name
        self.group = group
        self.main = main
        self.summary = summary
        names = options.split()
        # `jobs --state` means states of jobs; a folder is told by its / (see `options.settle`).
        names += [o for o in GENERAL if o != "state" or "in_state" not in names]
        self.options = [OPTIONS[o] for o in names]
        self.words = words
        self.example = example
        self.rest = rest
