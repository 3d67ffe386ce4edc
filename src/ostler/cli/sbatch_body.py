"""What in the commands of a script written for Slurm works otherwise here, or not at all.

Such a script would do the wrong thing in silence: each element of an array the same work, as
SLURM_ARRAY_TASK_ID is empty; or all the work four times, as the script is run once for each task.
"""

import re

_OURS = {
    "SLURM_ARRAY_JOB_ID": "$OSTLER_JOB",
    "SLURM_ARRAY_TASK_ID": "$OSTLER_ELEMENT",
    "SLURM_CPUS_ON_NODE": "$OSTLER_CPUS",
    "SLURM_CPUS_PER_TASK": "$OSTLER_CPUS",
    "SLURM_JOBID": "$OSTLER_JOB",
    "SLURM_JOB_ID": "$OSTLER_JOB",
    "SLURM_JOB_NODELIST": "$OSTLER_NODES",
    "SLURM_NODELIST": "$OSTLER_NODES",
    "SLURM_NPROCS": "$OSTLER_TASKS",
    "SLURM_NTASKS": "$OSTLER_TASKS",
    "SLURM_PROCID": "$OSTLER_RANK",
    "SLURM_RESTART_COUNT": "$((OSTLER_ATTEMPT - 1))",
    "SLURM_STEP_ID": "$OSTLER_STEP",
    "SLURM_SUBMIT_DIR": "$PWD",
}
_USE = re.compile(r"""(?:\$\{?|["'])(SLURM_\w+)(:?-)?""")  # `${NAME:-other}` does without it
_SET = re.compile(r"(?:^|[\s;&])(SLURM_\w+)=")
_SRUN = re.compile(r"(?:^|[;&|(])\s*(?:exec\s+|time\s+)?srun\s")


def strange(script: bytes, tasks: int) -> list[str]:
    """Return a sentence about each thing that is otherwise here.

    tasks: how many its `#SBATCH` lines ask for, if nothing overrides them.
    """
    missing: dict[str, int] = {}
    known: set[str] = set()
    srun = 0
    lines = script.decode("utf-8", "surrogateescape").splitlines()
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("#"):
            continue
        known.update(_SET.findall(line))
        for name, without in _USE.findall(line):
            if name not in known and not without:
                missing.setdefault(name, number)
        if not srun and _SRUN.search(line):
            srun = number
    found = [_missing(missing, shell=lines[0].endswith("sh"))] if missing else []
    if srun:
        found.append(f"line {srun}: srun is a command of Slurm; leave it out")
    if tasks > 1:
        again = f"the script itself runs once for each of its {tasks} tasks"
        found.append(f"asks for tasks: {again}; with `-n 1` before its name it runs once")
    return found


def _missing(names: dict[str, int], *, shell: bool) -> str:
    """Return what to write for variables that are not set here; names: and where they are used."""
    first = next(iter(names.values()))
    told = f"line {first}: {', '.join(names)} {'is' if len(names) == 1 else 'are'} not set here"
    ours = [f"{name}={_OURS[name]}" for name in names if name in _OURS]
    if not ours:
        return told
    if shell:
        return f"{told}; write at the head of the script: export {' '.join(ours)}"
    return f"{told}; what is: {', '.join(text.partition('=')[2].strip('$') for text in ours)}"
