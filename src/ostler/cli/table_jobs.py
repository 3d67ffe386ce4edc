"""The commands about jobs, for `table`; these are typed every day.

Imports nothing more than their options. No other command's first word is one of these.
"""

from ostler.cli.table_options import Command

_REQUEST = (
    "partition rm tasks cpus memory time nodes gpus generic constraint exclusive spread licences "
    "reservation nodelist exclude name project work priority "
    "chdir env umask requeue retries retry_on signal tasks_per_node distribution kill_on_bad_exit "
)
_HELD = (
    "partition tasks cpus memory time nodes tasks_per_node gpus generic constraint exclusive spread "
    "licences reservation nodelist exclude name project work priority "
    "immediate idle "
)
_WHEN = "array each after not_before hold output error input mail mail_to notify "
_ID = ("ID", 1, 1)
_IDS = ("ID", 1, None)

JOBS: dict[str, Command] = {
    c.name: c
    for c in (
        Command(
            "run", "Jobs", "run:main",
            "Run CMD now, with this terminal's input and output and the job's exit status.",
            _REQUEST + "immediate verbose ranked stdin pty detach up", ("CMD", 1, None), rest=True,
            example="ostler run -c 2 -m 4G make -j2",
        ),
        Command(
            "attach", "Jobs", "run:attach",
            "Get a `run` back; Ctrl-\\ leaves it again, with --pty Ctrl-] three times.", "", _ID,
            example="ostler attach 12",
        ),
        Command(
            "submit", "Jobs", "submit:main",
            "Queue SCRIPT (- is stdin), or CMD after --; print the job's id.",
            _REQUEST + _WHEN + "file dry_run", ("SCRIPT | -- CMD", 0, None), rest=True,
            example="ostler submit -t 2h --array 0-99%10 -- sh -c 'work $OSTLER_ELEMENT'",
        ),
        Command(
            "alloc", "Jobs", "alloc:main",
            "Hold resources while CMD, or a shell, runs here; `ostler run` in it runs steps.",
            _HELD, ("[CMD]", 0, None), rest=True, example="ostler alloc -c 4 -t 2h",
        ),
        Command(
            "exec", "Jobs", "exec:main",
            "Run CMD, or a shell, inside a running job: its limits, CPUs, user, environment.",
            "", ("ID [-- CMD]", 1, None), rest=True, example="ostler exec 12 -- top -b -n 1",
        ),
        Command(
            "jobs", "Jobs", "jobs:main", "List your unfinished jobs.",
            "user in_partition of_rm in_state since all steps tree format watch limit",
            example="ostler jobs --all --since 2h",
        ),
        Command(
            "job", "Jobs", "jobs:one", "Show all that is known of one job.", "", _ID,
            example="ostler job 12",
        ),
        Command(
            "wait", "Jobs", "wait:main", "Wait until the jobs have ended; 1 if one did not succeed.",
            "", _IDS, example="ostler wait 12 13_[0-9]",
        ),
        Command(
            "cancel", "Jobs", "act:main", "End what runs and take what waits out of the queue.",
            "reason", _IDS, example="ostler cancel 12 13_4",
        ),
        Command(
            "hold", "Jobs", "act:main", "Keep what waits from starting.", "reason", _IDS,
            example="ostler hold 12",
        ),
        Command(
            "release", "Jobs", "act:main", "Let what is held wait for its turn.", "", _IDS,
            example="ostler release 12",
        ),
        Command(
            "suspend", "Jobs", "act:main",
            "Freeze what runs: it keeps its memory and gives up its CPUs.", "", _IDS,
            example="ostler suspend 12",
        ),
        Command(
            "resume", "Jobs", "act:main", "Let what is suspended go on.", "", _IDS,
            example="ostler resume 12",
        ),
        Command(
            "requeue", "Jobs", "act:main", "Run again what runs or has ended.", "failed reason",
            _IDS, example="ostler requeue --failed 12",
        ),
        Command(
            "modify", "Jobs", "modify:main", "Change a waiting job, or the time limit or nodes of one that runs.",
            "renamed rm project priority boost time not_before array_cap tasks cpus memory gpus nodes end_tasks "
            "retries constraint licences reservation",
            _ID, example="ostler modify 12 -t 4h --priority 60",
        ),
        Command(
            "logs", "Jobs", "logs:main", "Print what a job has written.", "follow errors label",
            _ID,
            example="ostler logs -f 12",
        ),
        Command(
            "explain", "Jobs", "explain:main",
            "Say why a job waits, when it should start, and what would let it start now; or what if.",
            "suppose suppose_nodes", ("ID", 0, 1), example="ostler explain 12 --if time=2h,cpus=4",
        ),
    )
}  # fmt: skip
