"""The commands of administrators, for `table`: what the machine is divided into, and who may use it.

Imports nothing more than the options: everyday commands load it.
"""

from ostler.cli.table_options import Command

_WHO = "access_user access_group access_project "
_RULE = (
    f"{_WHO}access_kinds access_max_cpus access_max_memory access_priority access_time_limit "
    "access_running access_waiting access_cpu_minutes"
)

SITE: tuple[Command, ...] = (
    Command(
        "partitions", "The machine", "site:partitions",
        "List the partitions with their nodes.", "format", example="ostler partitions",
    ),
    Command(
        "partitions create", "The machine", "site:partition",
        "Make a partition, of NODES that no other names (* is all the rest).", "",
        ("NAME [NODES] [KEY=VALUE…]", 1, None),
        example="ostler partitions create batch 'n[01-04]' time-limit=1d",
    ),
    Command(
        "partitions set", "The machine", "site:partition",
        "Change a partition: its NODES (none takes them away), or what else it has.", "",
        ("NAME [NODES] [KEY=VALUE…]", 2, None),
        example="ostler partitions set batch tier=2 policy=fcfs",
    ),
    Command(
        "partitions remove", "The machine", "site:partition",
        "Remove a partition without jobs, its access rules, and its nodes from it.", "",
        ("NAME", 1, 1), example="ostler partitions remove batch",
    ),
    Command(
        "partitions start", "The machine", "partitions:word", "Let its jobs start again.", "",
        ("NAME", 1, 1), example="ostler partitions start batch",
    ),
    Command(
        "partitions stop", "The machine", "partitions:word",
        "Let nothing start in a partition; what waits keeps waiting. Refused while jobs run.",
        "wait drain kill_again", ("NAME", 1, 1), example="ostler partitions stop batch --wait",
    ),
    Command(
        "partitions reload", "The machine", "partitions:word",
        "Hold what waits in a partition and would be refused now.", "", ("NAME", 1, 1),
        example="ostler partitions reload batch",
    ),
    Command(
        "configurations", "The machine", "partitions:configurations",
        "List the configurations: which nodes each partition has in them.", "format",
        example="ostler configurations",
    ),
    Command(
        "configurations create", "The machine", "partitions:configuration",
        "Make another division of the nodes, with calendar=WHEN and moved=go_on|drain|suspend.",
        "", ("NAME [PARTITION=NODES…] [KEY=VALUE…]", 1, None),
        example="ostler configurations create night main='*' batch='n[01-04]'",
    ),
    Command(
        "configurations set", "The machine", "partitions:configuration",
        "Change the nodes of partitions (none: none) in a configuration, its calendar or moved.",
        "", ("NAME [PARTITION=NODES…] [KEY=VALUE…]", 2, None),
        example="ostler configurations set night calendar='mon-fri 20:00'",
    ),
    Command(
        "configurations remove", "The machine", "partitions:configuration",
        "Remove a configuration that is not active.", "", ("NAME", 1, 1),
        example="ostler configurations remove night",
    ),
    Command(
        "configurations use", "The machine", "partitions:use",
        "Switch to a configuration now; it lasts until a calendar has another begin.", "dry",
        ("NAME", 1, 1), example="ostler configurations use night --dry-run",
    ),
    Command(
        "rm list", "The machine", "rm:main",
        "List other resource managers whose nodes and jobs are part of the machine.", "format",
        example="ostler rm list",
    ),
    Command(
        "rm add", "The machine", "rm:change",
        "Take a resource manager in by its driver: slurm, gridengine, wiki, local, or one of yours.",
        "", ("NAME DRIVER [KEY=VALUE…]", 2, None),
        example="ostler rm add slurm slurm interval=10s",
    ),
    Command(
        "rm set", "The machine", "rm:change",
        "Change what a resource manager has, or what its driver is told.", "",
        ("NAME KEY=VALUE…", 2, None), example="ostler rm set slurm deadline=20s",
    ),
    Command(
        "rm remove", "The machine", "rm:change",
        "Let a resource manager go, with its nodes; its jobs go on there.", "",
        ("NAME", 1, 1), example="ostler rm remove slurm",
    ),
    Command(
        "rm show", "The machine", "rm:one",
        "Show how a resource manager stands, how long it takes, and what its driver can.", "",
        ("NAME", 1, 1), example="ostler rm show slurm",
    ),
    Command(
        "pool list", "The machine", "pool:main",
        "List the pools: nodes that are jobs in other resource managers.", "format",
        example="ostler pool list",
    ),
    Command(
        "pool add", "The machine", "pool:change",
        "Let nodes be jobs in a resource manager while much waits here: least=, cpus=, memory=,"
        " time=; behind -- options of its own.", "pool_most pool_idle",
        ("RM [KEY=VALUE…] [-- OPTION…]", 1, None),
        example="ostler pool add slurm --max-nodes 20 --idle 5m cpus=8 time=2h -- -A proj",
    ),
    Command(
        "pool set", "The machine", "pool:change",
        "Change a pool: least=, cpus=, memory=, time=; behind -- options of its own.",
        "pool_most pool_idle", ("RM [KEY=VALUE…] [-- OPTION…]", 1, None),
        example="ostler pool set slurm --max-nodes 40",
    ),
    Command(
        "pool remove", "The machine", "pool:change",
        "Remove a pool; its nodes stay until their time is over, or their jobs are cancelled.", "",
        ("RM", 1, 1), example="ostler pool remove slurm",
    ),
    Command(
        "grow", "The machine", "pool:grow",
        "Have N more nodes from a pool, whether or not there is work for them.", "pool_from",
        ("N", 1, 1), example="ostler grow 2 --from slurm",
    ),
    Command(
        "shrink", "The machine", "pool:shrink",
        "Keep N nodes less than `grow` has asked for; they go when they have nothing to do.",
        "pool_from", ("N", 1, 1), example="ostler shrink 2 --from slurm",
    ),
    Command(
        "scheduler list", "The machine", "scheduler:main",
        "List the schedulers: who plans which partition, who is compared, who is lost.", "format",
        example="ostler scheduler list",
    ),
    Command(
        "scheduler trace", "The machine", "scheduler:trace",
        "List the last iterations over other resource managers: what was loaded, and how long it took.",
        "format", ("[NAME]", 0, 1), example="ostler scheduler trace slurm",
    ),
    Command(
        "scheduler add", "The machine", "scheduler:change",
        "Let a program, or MODULE:CLASS, plan for partitions that name it: user=, deadline=, memory=.",
        "", ("NAME COMMAND [KEY=VALUE…]", 2, None),
        example="ostler scheduler add mine '/usr/local/bin/plan --fair' deadline=5s",
    ),
    Command(
        "scheduler set", "The machine", "scheduler:change",
        "Change a scheduler: command=, user=, deadline=, memory=.", "",
        ("NAME KEY=VALUE…", 2, None), example="ostler scheduler set mine deadline=20s",
    ),
    Command(
        "scheduler remove", "The machine", "scheduler:change",
        "Remove a scheduler that no partition names.", "", ("NAME", 1, 1),
        example="ostler scheduler remove mine",
    ),
    Command(
        "rm check", "The machine", "rm_check:main",
        "Hold a driver to its contract: small jobs are started and cancelled where it leads.",
        "case", ("NAME|DRIVER [KEY=VALUE…]", 1, None),
        example="ostler rm check local folder=/var/tmp/spool",
    ),
    Command(
        "rm new", "The machine", "rm_new:main",
        "Begin a driver for another resource manager: write NAME.py, which works.", "",
        ("NAME", 1, 1), example="ostler rm new mine",
    ),
    Command(
        "reservations", "The machine", "reservations:listing",
        "List the reservations, each with the time that is or comes next.", "format",
        example="ostler reservations",
    ),
    Command(
        "reservations create", "The machine", "reservations:change",
        "Keep NODES (partition:NAME: all it has) for users and projects; for none: maintenance.",
        "", ("NAME NODES duration=TIME [KEY=VALUE…]", 2, None),
        example="ostler reservations create disks 'n[01-04]' start=22:00 duration=4h days=sat",
    ),
    Command(
        "reservations set", "The machine", "reservations:change",
        "Change a reservation: its NODES, or what else it has.", "",
        ("NAME [NODES] [KEY=VALUE…]", 2, None),
        example="ostler reservations set disks duration=6h users=ann,bob",
    ),
    Command(
        "reservations remove", "The machine", "reservations:change",
        "Remove a reservation.", "", ("NAME", 1, 1), example="ostler reservations remove disks",
    ),
    Command(
        "access", "The machine", "access:main",
        "List the rules on who may do what in which partition.", "format",
        example="ostler access",
    ),
    Command(
        "access allow", "The machine", "access:change",
        "Let somebody use a partition, which is closed to all others then; for all: kinds of work.",
        _RULE, ("PARTITION", 1, 1), example="ostler access allow batch --user ann",
    ),
    Command(
        "access deny", "The machine", "access:change",
        "Keep somebody out of a partition.", _WHO, ("PARTITION", 1, 1),
        example="ostler access deny batch --project thesis",
    ),
    Command(
        "access set", "The machine", "access:change",
        "Limit what somebody may have in a partition; * is all of them, none takes a limit away.",
        _RULE, ("PARTITION", 1, 1),
        example="ostler access set batch --user ann --max-cpus 8 --max-mem 4G --priority 60",
    ),
    Command(
        "access remove", "The machine", "access:change",
        "Remove the rule about somebody in a partition.", _WHO, ("PARTITION", 1, 1),
        example="ostler access remove batch --user ann",
    ),
    Command(
        "users", "The machine", "access:main",
        "List the users of whom more is known than their name.", "format",
        example="ostler users",
    ),
    Command(
        "users set", "The machine", "access:row",
        "Give a user a role (user, operator, admin), projects and shares in them.", "",
        ("NAME KEY=VALUE…", 2, None), example="ostler users set ann role=operator projects=phys",
    ),
    Command(
        "users remove", "The machine", "access:row",
        "Let a user be like any other.", "", ("NAME", 1, 1), example="ostler users remove ann",
    ),
    Command(
        "projects", "The machine", "access:main",
        "List the projects.", "format", example="ostler projects",
    ),
    Command(
        "projects create", "The machine", "access:row",
        "Make a project; work is accounted to known ones only from the first on.", "",
        ("NAME [KEY=VALUE…]", 1, None),
        example="ostler projects create phys shares=3 description='what falls'",
    ),
    Command(
        "projects set", "The machine", "access:row",
        "Change a project: parent, shares, description.", "", ("NAME KEY=VALUE…", 2, None),
        example="ostler projects set phys shares=5",
    ),
    Command(
        "projects remove", "The machine", "access:row",
        "Remove a project that no user and no other project names.", "", ("NAME", 1, 1),
        example="ostler projects remove phys",
    ),
    Command(
        "config apply", "The machine", "config:apply",
        "Make the machine what a TOML file says; print what differs. All of it, or nothing.",
        "only_dry", ("FILE", 1, 1), example="ostler config apply site.toml --dry-run",
    ),
    Command(
        "config show", "The machine", "config:show",
        "Print what administrators have set, as a file for `config apply`.", "",
        example="ostler config show > site.toml",
    ),
    Command(
        "config set", "The machine", "config:change", "Set one attribute of the machine (none: its default again).", "",
        ("KEY VALUE", 2, 2), example="ostler config set max-cpus-per-user 8",
    ),
    Command(
        "config unset", "The machine", "config:change", "Take an attribute's default again.",
        "", ("KEY", 1, 1), example="ostler config unset max-cpus-per-user",
    ),
    Command(
        "config effective", "The machine", "config:main",
        "List all attributes with their values, or print what holds for one.", "",
        ("[KEY]", 0, 1), example="ostler config effective poll-interval",
    ),
)  # fmt: skip
