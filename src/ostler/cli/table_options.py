"""The options of commands about jobs, written once; `table_jobs` and `table` say which have which.

Imports nothing, and holds constants, which cost next to nothing before they are used: everyday
commands load it. What the options mean is in `job_values.py`.
"""

Row = tuple[str, ...]  # flags, metavar, help and, where it may be repeated, "many"


class Option:
    """One option. `metavar` is empty for a flag; `many` collects all its values in a list."""

    __slots__ = ("flags", "help", "many", "metavar", "name")

    def __init__(self, name: str, flags: str, metavar: str, text: str, many: str = "") -> None:
        self.name = name
        self.flags = flags.split("/")
        self.metavar = metavar
        self.help = text
        self.many = bool(many)


OPTIONS: dict[str, Row] = {
    # what a job asks for
    "partition": ("-p/--partition", "NAME", "where to run; the default one unless told"),
    "rm": ("--rm", "NAME", "only in this resource manager; `native`: on our own nodes"),
    "in_partition": ("-p/--partition", "NAME", "in this partition"),
    "of_rm": ("--rm", "NAME", "of this resource manager alone, everybody's; `native`: of none"),
    "tasks": ("-n/--tasks", "N", "tasks side by side; `run` and `submit` start CMD for each"),
    "cpus": ("-c/--cpus", "N", "CPUs of each task"),
    "memory": ("-m/--memory", "SIZE", "most memory of each task: 512M, 8G"),
    "time": ("-t/--time", "TIME", "time limit: 90s, 90m, 2h, 1d, 1:30:00"),
    "nodes": ("-N/--nodes", "N", "exactly so many nodes"),
    "tasks_per_node": ("--tasks-per-node", "N", "at most N on a node; without -n exactly N"),
    "distribution": ("--distribution", "block|cyclic", "ranks node by node, or in turns"),
    "kill_on_bad_exit": ("--kill-on-bad-exit", "", "the first task to fail ends all"),
    "verbose": ("--verbose", "", "say first on stderr where each task runs, with what"),
    "gpus": ("--gpus", "N", "GPUs of each task"),
    "generic": ("--generic", "NAME=N", "named resource of each task", "many"),
    "constraint": ("-C/--constraint", "FEATURES", "only nodes like this: 'a100&!old', 'rack1*2&rack2*1'"),
    "exclusive": ("--exclusive", "", "whole nodes: all that they have, and nobody else there"),
    "spread": ("--spread", "", "tasks over as many nodes as there can be, not as few"),
    "licences": ("-L/--licences", "NAME:N", "licences of the machine, for all tasks together: matlab:2,ansys"),
    "reservation": ("--reservation", "NAME", "on the nodes of this reservation"),
    "nodelist": ("-w/--nodelist", "NODES", "only on these: n1,n3 or 'n[1-3]'"),
    "exclude": ("-x/--exclude", "NODES", "on none of these"),
    "name": ("-J/--name", "NAME", "name of the job; the command's unless told"),
    "renamed": ("-J/--name", "NAME", "name of the job"),
    "project": ("--project", "NAME", "whom to account it to"),
    "work": ("--kind", "shell", "somebody types at it, as --pty says too: partitions may keep such work out"),
    "priority": ("--priority", "N", "0 to 100, higher goes first; 50 unless told"),
    "boost": ("--boost", "N", "0 to 100, for administrators: moves it up the queue"),
    "chdir": ("-D/--chdir", "DIR", "working directory; this one unless told"),
    "env": ("--env", "none|K|K=V", "carry nothing, only K; set K to V", "many"),
    "umask": ("--umask", "MODE", "octal; this shell's unless told"),
    "requeue": ("--requeue", "", "may run again when it was lost with its node"),
    "retries": ("--retries", "N", "run again up to N times when it fails"),
    "retry_on": ("--retry-on", "LIST", "only these exit statuses and results: 75,lost"),
    "signal": ("--signal", "SIG@SECONDS", "warn so long before the time limit: USR1@60"),
    # when, how often and where to
    "array": ("--array", "RANGES[%N]", "elements 0-99, at most N at once: 0-99%10; each has its number in OSTLER_ELEMENT"),
    "each": ("--each", "FILE", "an element for each line, in OSTLER_ITEM; - is stdin"),
    "after": ("--after", "JOB[:ok|any|fail|each]", "start when that job has ended", "many"),
    "mail": ("--mail", "LIST", "be mailed at these moments: begin,end,fail; element: when one of an array fails"),
    "mail_to": ("--mail-to", "ADDRESS", "where to; your name unless told"),
    "notify": ("--notify", "URL", "post JSON there at its begin and end; @FILE: the URL is in that file"),
    "not_before": ("--not-before", "WHEN", "17:30, 2026-12-24T18:00, +30m"),
    "hold": ("--hold", "", "do not start before `ostler release`"),
    "output": ("-o/--output", "FILE", "ostler-%j.out unless told; %j job, %a element, %t task, %n node, %x name, %u user"),
    "error": ("-e/--error", "FILE", "pattern; where the output goes unless told"),
    "input": ("-i/--input", "FILE", "standard input; /dev/null unless told"),
    "file": ("--file", "FILE", "all jobs of a TOML file, or none; - is stdin"),
    "dry_run": ("--dry-run", "", "only say what would be asked and when it would start"),
    # of single commands
    "immediate": ("--immediate", "", "exit with 5 at once if it cannot be granted now"),
    "idle": ("--idle", "TIME", "end it when no step has run in it for so long"),
    "steps": ("--steps", "", "also the steps in allocations"),
    "ranked": ("--label", "", "begin each line of output with the rank of its task"),
    "stdin": ("--stdin", "first|all|none", "which tasks read the input; the first"),
    "pty": ("--pty", "", "give the task a terminal, as a shell or an editor needs"),
    "detach": ("--detach", "", "keep the job when this client goes away; `ostler attach` gets it back"),
    "up": ("--up", "", "start a machine on this host if none is up"),
    "user": ("--user", "NAME", "of this user"),
    "in_state": ("--state", "LIST", "in these states: running,done; a word with a / is DIR"),
    "since": ("--since", "WHEN", "what happened since: 2h (ago), 08:00, a date"),
    "all": ("--all", "", "of all users, ended ones too"),
    "tree": ("--tree", "", "each below what it waits for"),
    "format": ("--format", "KEYS", "these columns, named as in --json: id,state"),
    "reason": ("--reason", "TEXT", "kept in the story of the job or node"),
    "failed": ("--failed", "", "only elements that did not succeed"),
    "follow": ("-f/--follow", "", "go on until it ends, or until interrupted"),
    "errors": ("-e/--error", "", "the error file instead of the output"),
    "label": ("-l/--label", "", "begin each line with the element's id"),
    "suppose": ("--if", "K=V,…", "if it asked for that, as with submit: time=2h,cpus=4; without ID: if a new job did", "many"),
    "suppose_nodes": ("--if-nodes", "+N|-NODE", "if there were N idle nodes more, or as +N:NODE; if NODE took no work", "many"),
    "watch": ("--watch", "", "show it anew each second, until Ctrl-C"),
    "array_cap": ("--array", "%N", "at most N elements at once"),
    "end_tasks": ("--end-tasks", "", "with --nodes: end tasks that run on nodes to be given back"),
    "limit": ("--limit", "N", "at most the last N"),
    # everywhere
    "state": ("--state", "DIR", "folder of the machine (or OSTLER_STATE)"),
    "json": ("--json", "", "one JSON document on stdout and nothing else"),
    "quiet": ("-q/--quiet", "", "say less; tables without a heading"),
}  # fmt: skip

GENERAL = ["state", "json", "quiet"]
_LAB_STATE = ("--state", "DIR", "folder of the lab (or OSTLER_LAB)")  # instead, of lab commands


def option_named(name: str) -> Option:
    """Return the option with this name in the tables; the second is loaded when it is needed."""
    row = OPTIONS.get(name)
    if row is None:
        from ostler.cli.table_more_options import MORE

        row = MORE[name]
    return Option(name, *row)


class Command:
    """One command, maybe of two words.

    words: (metavar, at least, at most or None) of the positional arguments; rest: everything from
    the first positional argument on belongs to the job. main: MODULE:FUNCTION below `ostler.cli`.
    """

    __slots__ = ("_options", "example", "group", "main", "name", "rest", "summary", "words")

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
        self._options = options
        self.words = words
        self.example = example
        self.rest = rest

    @property
    def options(self) -> list[Option]:
        """Return its options: looked up now, since a process needs those of one command."""
        names = self._options.split()
        # `jobs --state` means states of jobs; a folder is told by its / (see `options.settle`).
        names += [o for o in GENERAL if o != "state" or "in_state" not in names]
        found = [*map(option_named, names)]
        if self.group == "A lab":
            return [Option("state", *_LAB_STATE) if o.name == "state" else o for o in found]
        return found
