"""What other systems call our commands and options: for whoever types them out of habit.

Names of Slurm, Grid Engine, HyperQueue and the shell. Loaded only when a word is not known here.
"""

_COMMANDS = {
    "run": "srun qrsh",
    "exec": "enter shell nsenter",
    "attach": "sattach reattach fg",
    "alloc": "salloc qlogin allocate",
    "submit": "sbatch qsub batch",
    "jobs": "squeue qstat list ls ps top queue",
    "job": "show info",
    "wait": "swait",
    "cancel": "scancel qdel kill delete",
    "hold": "qhold",
    "release": "qrls unhold",
    "requeue": "resubmit retry rerun",
    "modify": "qalter scontrol update",
    "logs": "log cat tail output",
    "explain": "why",
    "up`, or for a job `ostler submit": "start",
    "down --leave` and then `ostler up": "restart reload upgrade",
    "up": "server",
    "down": "stop shutdown",
    "nodes": "sinfo qhost hosts workers",
    "nodes drain": "drain",
    "nodes undrain": "undrain",
    "history": "journal",
    "acct": "sacct qacct accounting",
    "query": "sql",
}
_RUN_OPTIONS = {
    "--label; for resources -m, -t, --gpus or --generic": "-l",
    "--pty for a terminal, `< FILE` for a file": "-i --input --tty --interactive",
    "`> FILE` behind it": "-o --output --stdout",
    "`2> FILE` behind it": "-e --error --stderr",
    "--kill-on-bad-exit": "-K --halt",
    "--verbose": "--cpu-bind",
}
_JOB_OPTIONS = {
    "--tasks-per-node": "--ntasks-per-node",
    "-n": "--ntasks",
    "-c": "--cpus-per-task",
    "-m, for each task": "--mem --mem-per-cpu",
    "-J": "--job-name",
    "-p, as partitions have the limits": "--qos",
    "-t": "--time-limit --time-request --walltime",
    "--after JOB:ok": "--dependency -d -hold_jid --depends --depend --depends-on",
    "--gpus N, or --generic NAME=N": "--gres --resource",
    "--gpus": "-G --gpus-per-task",
    "--licences": "--licenses --license",
    "--constraint": "--feature --features",
    "--spread": "--spread-job",
    "-m, -t, --gpus or --generic": "-l",
    "--array; for a time it is --not-before": "-a",
    "--not-before": "--begin -b --at",
    "cron itself, which calls `ostler submit`": "--cron --every --repeat",
    "--mail begin,end,fail": "--mail-type --email",
    "--mail-to": "--mail-user -M",
    "-- sh -c 'COMMANDS'": "--wrap",
    "--project": "--account -A -P",
    "--env; the whole environment goes along unless told": "--export -V -v",
    "--dry-run": "--test-only",
    "-o": "--stdout",
    "-e": "--stderr",
    "-D": "--cwd --workdir -wd",
    "--hold": "-H -h",
    "--priority": "--nice",
    "--retries": "--crash-limit",
    "--each": "--each-line",
    "`ostler wait ID`, or `ostler run`": "--wait -W --sync",
}
_OTHER_OPTIONS = {
    "--user NAME; without it you see your own": "-u --me --mine",
    "-q, for no heading": "--noheader --no-header",
    "--state": "-t --states --filter",
    "--format": "-o --output-format",
    "--state failed,timeout,memory,lost": "--failed",
    "--since": "-S --starttime",
    "`ostler job ID`": "-j --jobs",
}
_WAIT_OPTIONS = {"`timeout 60 ostler wait ID`": "-t --timeout"}
_SCONTROL = {
    "show job": "job",
    "show node": "node",
    "show nodes": "nodes",
    "show partition": "partitions",
    "show reservation": "reservations",
    "show config": "config",
    "hold": "hold",
    "release": "release",
    "requeue": "requeue",
    "suspend": "suspend",
    "resume": "resume",
    "update nodename": "nodes drain",
    "update partitionname": "partitions set",
    "ping": "status",
}
_CANCEL_OPTIONS = {
    "$(ostler jobs -q --format id) in place of ids": "-u --user --me --all -a",
    "$(ostler jobs -q --state pending --format id) in place of ids": "-t --filter",
}
_ACCT_OPTIONS = {"--job ID": "-j --jobs", "--all, for those of all users": "-a --allusers"}
_LOGS_OPTIONS = {"`| tail -n N` behind it": "-n --tail --lines"}
_OWN_OPTIONS = {
    "run": _RUN_OPTIONS,
    "cancel": _CANCEL_OPTIONS,
    "acct": _ACCT_OPTIONS,
    "logs": _LOGS_OPTIONS,
    "wait": _WAIT_OPTIONS,
}
_OF_JOBS = ("run", "submit", "alloc")  # their options are wishes of a job
_WITH_COMMAND = ("exec", "attach")  # what is typed there belongs to a command of the user's


def command_for(word: str, *more: str) -> str:
    """Return our command for a word of another system; empty if there is none.

    more: what was typed behind it, of which `scontrol` needs the first two words.

    >>> command_for("squeue"), command_for("scontrol", "show", "node", "n1")
    ('jobs', 'node')
    """
    if word == "scontrol" and more:
        two = " ".join(more[:2]).partition("=")[0].lower()
        return _SCONTROL.get(two) or _SCONTROL.get(more[0], "modify")
    return _found(_COMMANDS, word)


def option_for(command: str, flag: str) -> str:
    """Return our options for one of another system; empty if there is none.

    >>> option_for("submit", "--mem")
    '-m, for each task'
    """
    first = _OWN_OPTIONS.get(command, {})
    rest = _JOB_OPTIONS if command in _OF_JOBS else _OTHER_OPTIONS
    return _found(first, flag) or _found({} if command in _WITH_COMMAND else rest, flag)


def _found(names: dict[str, str], word: str) -> str:
    return next((ours for ours, theirs in names.items() if word in theirs.split()), "")
