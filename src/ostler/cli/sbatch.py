"""Slurm's options of `sbatch` in terms of ours. Source: sbatch(1), Slurm 22.05.

What has no meaning here is told and left out; what would change the meaning of the job if it were
left out (a dependency of another kind, say) is an error.
"""

from ostler.cli.options import Value
from ostler.model.errors import UsageError

Words = list[tuple[int, list[str]]]
Found = dict[str, str]

_LONG = {
    # option: (short letter, takes a value)
    "account": ("A", True),
    "array": ("a", True),
    "begin": ("b", True),
    "chdir": ("D", True),
    "constraint": ("C", True),
    "cpus-per-task": ("c", True),
    "dependency": ("d", True),
    "error": ("e", True),
    "exclude": ("x", True),
    "exclusive": ("", False),
    "export": ("", True),
    "gpus": ("G", True),
    "gpus-per-node": ("", True),
    "gpus-per-task": ("", True),
    "gres": ("", True),
    "hold": ("H", False),
    "input": ("i", True),
    "job-name": ("J", True),
    "licenses": ("L", True),
    "mail-type": ("", True),
    "mail-user": ("", True),
    "mem": ("", True),
    "mem-per-cpu": ("", True),
    "no-requeue": ("", False),
    "nodelist": ("w", True),
    "nodes": ("N", True),
    "ntasks": ("n", True),
    "ntasks-per-node": ("", True),
    "open-mode": ("", True),
    "output": ("o", True),
    "parsable": ("", False),
    "partition": ("p", True),
    "quiet": ("Q", False),
    "requeue": ("", False),
    "reservation": ("", True),
    "signal": ("", True),
    "spread-job": ("", False),
    "time": ("t", True),
}
_SHORT = {short: name for name, (short, _) in _LONG.items() if short}
_SILENT = {"parsable", "quiet", "open-mode", "no-requeue"}  # nothing to do, or the default here
_PLAIN = {  # the same thing under another name
    "account": "project",
    "chdir": "chdir",
    "cpus-per-task": "cpus",
    "error": "error",
    "exclude": "exclude",
    "gpus-per-task": "gpus",
    "input": "input",
    "job-name": "name",
    "mail-user": "mail_to",
    "nodelist": "nodelist",
    "output": "output",
    "partition": "partition",
    "reservation": "reservation",
}
_COUNTS = {"cpus-per-task", "gpus-per-task"}
_MOMENTS = {
    "NONE": (),
    "BEGIN": ("begin",),
    "END": ("end",),
    "FAIL": ("fail",),
    "ALL": ("begin", "end", "fail"),
    "ARRAY_TASKS": ("element",),
}
_UNLIMITED = ("UNLIMITED", "INFINITE", "0")
_DEPENDENCIES = {"afterok": "ok", "afterany": "any", "afternotok": "fail", "aftercorr": "each"}
_PATTERNS = {"A": "%j", "j": "%j", "a": "%a", "t": "%t", "N": "%n", "u": "%u", "x": "%x", "%": "%%"}


def translate(lines: Words) -> tuple[dict[str, Value], list[str]]:
    """Return values of our options, and warnings; raise `UsageError` naming the line.

    lines: (number of the line, its words), in order; later ones win.
    """
    found: Found = {}
    where: dict[str, int] = {}
    warnings: list[str] = []
    for number, words in lines:
        for name, value in _options(number, words, warnings):
            found[name] = value
            where[name] = number
    values: dict[str, Value] = {}
    for name, value in found.items():
        if name in _SILENT:
            continue
        try:
            _one(name, value, found, values, warnings, where[name])
        except ValueError as error:
            raise UsageError(f"line {where[name]}: #SBATCH --{name}={value}: {error}") from None
    if "mail" not in values:
        values.pop("mail_to", None)  # as there, nobody is mailed who did not say when
    return values, warnings


def _options(number: int, words: list[str], warnings: list[str]) -> list[tuple[str, str]]:
    """Return (long name, value) of each known option of a line."""
    found = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word[2:].partition("=")
        if word.startswith("--") and name:
            fits = [name] if name in _LONG else [n for n in _LONG if n.startswith(name)]
            known = fits[0] if len(fits) == 1 else ""
        elif len(word) > 1 and word[0] == "-" and word[1] in _SHORT:
            known, value = _SHORT[word[1]], word[2:]
            equals = value  # the rest of the word is the value
        else:
            known = ""
        if not known:
            warnings.append(f"line {number}: #SBATCH {word} is not known here; left out")
            while rest and not rest[0].startswith("-"):
                rest.pop(0)  # its value
            continue
        if _LONG[known][1] and not equals and rest:
            value = rest.pop(0)
        if _LONG[known][1] and not value:
            raise UsageError(f"line {number}: #SBATCH {word} needs a value")
        found.append((known, value))
    return found


def _one(  # one branch an option
    name: str,
    value: str,
    found: Found,
    values: dict[str, Value],
    warnings: list[str],
    number: int,
) -> None:
    """Set our option for one of Slurm's; raise ValueError with a sentence."""
    if name in ("output", "error"):
        values[name] = _pattern(value, "array" in found, warnings, number)
    elif name in _PLAIN:
        if name in _COUNTS:
            _count(value)
        values[_PLAIN[name]] = value
    elif name in ("ntasks", "ntasks-per-node", "nodes"):
        _counts(found, values, warnings, number)
    elif name in ("hold", "requeue"):
        values[name] = True
    elif name in ("exclusive", "spread-job"):
        values[name.partition("-")[0]] = True
        if value:
            warnings.append(f"line {number}: #SBATCH --{name}={value}: taken as --{name}")
    elif name == "constraint":
        values[name] = value.replace(",", "&")
    elif name == "mail-type":
        if moments := _moments(value, warnings, number):
            values["mail"] = moments
    elif name == "licenses":
        values["licences"] = _licences(value)
    elif name == "time":
        if value.upper() not in _UNLIMITED:
            values["time"] = f"{_seconds(value)}s"
    elif name in ("mem", "mem-per-cpu"):
        if value.strip("0KMGT") or name == "mem-per-cpu":
            values["memory"] = str(_memory(name, value, found))
        else:
            warnings.append(f"line {number}: #SBATCH --mem=0 asks for all memory; left out")
    elif name in ("gpus", "gpus-per-node"):
        values["gpus"] = str(_each_task(_gpus(value), found, per_node=name != "gpus"))
    elif name == "gres":
        _generic(value, found, values)
    elif name == "array":
        values["array"] = value
    elif name == "dependency":
        values["after"] = _after(value)
    elif name == "begin":
        values["not_before"] = _begin(value)
    elif name == "signal":
        signal, at, lead = value.rpartition(":")[2].partition("@")
        values["signal"] = f"{signal}@{lead or 60}" if at or signal else value
    elif name == "export":
        values["env"] = _export(value)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        msg = f"{text!r} is not a number of at least 1"
        raise ValueError(msg)
    return int(text)


def _nodes(found: Found) -> int:
    """Return the nodes asked for; 1 if nothing was said."""
    return _count(found.get("nodes", "1").partition("-")[0])


def _tasks(found: Found) -> int:
    if "ntasks" in found:
        return _count(found["ntasks"])
    return _nodes(found) * _count(found.get("ntasks-per-node", "1"))


def _counts(found: Found, values: dict[str, Value], warnings: list[str], number: int) -> None:
    values["tasks"] = str(_tasks(found))
    if "nodes" in found:
        values["nodes"] = str(_nodes(found))
        told = f"line {number}: #SBATCH --nodes={found['nodes']}: taken as {values['nodes']}"
        if "-" in found["nodes"] and told not in warnings:
            warnings.append(told)


def _seconds(text: str) -> int:
    """Return seconds; a bare number counts minutes, as in Slurm."""
    from ostler.model.units import parse_duration

    return parse_duration(text, bare=60)


def _memory(name: str, value: str, found: Found) -> int:
    """Return bytes for each task: Slurm counts by node or CPU, and bare numbers are megabytes."""
    from ostler.model.units import parse_size

    size = parse_size(f"{value}M" if value.isdigit() else value)
    if name == "mem-per-cpu":
        return size * _count(found.get("cpus-per-task", "1"))
    return -(-size * _nodes(found) // _tasks(found))


def _gpus(value: str) -> int:
    """Return how many GPUs `2` or `a100:2` means; the kind is not told apart here."""
    return _count(value.rpartition(":")[2])


def _each_task(gpus: int, found: Found, *, per_node: bool) -> int:
    """Return GPUs for each task; a part counts as a whole."""
    total = gpus * _nodes(found) if per_node else gpus
    return -(-total // _tasks(found))


def _moments(value: str, warnings: list[str], number: int) -> str:
    """Return when Slurm would mail, in our words; what is not known here is told."""
    found: list[str] = []
    for part in value.upper().split(","):
        if part in _MOMENTS:
            found += [moment for moment in _MOMENTS[part] if moment not in found]
        else:
            warnings.append(
                f"line {number}: #SBATCH --mail-type={part} is not known here; left out"
            )
    return ",".join(found)


def _licences(value: str) -> str:
    """Return `matlab:2,ansys` of Slurm's list, whose names may say at which server."""
    parts = [part.split(":") for part in value.split(",")]
    return ",".join(":".join([name.partition("@")[0], *count]) for name, *count in parts)


def _generic(value: str, found: Found, values: dict[str, Value]) -> None:
    """Set GPUs and named resources of `--gres`, each NAME[:TYPE][:COUNT]."""
    generic = []
    for part in value.split(","):
        words = part.partition("@")[0].split(":")
        count = words[-1] if len(words) > 1 and words[-1].isdigit() else "1"
        if words[0] in ("gpu", "none"):
            if words[0] == "gpu":
                values["gpus"] = str(_each_task(_count(count), found, per_node=True))
        else:
            generic.append(f"{words[0]}={_count(count)}")
    if generic:
        before = values.get("generic")
        values["generic"] = [*(before if isinstance(before, list) else []), *generic]


def _after(value: str) -> list[str]:
    found = []
    for part in value.split(","):
        kind, *jobs = part.split(":")
        if kind not in _DEPENDENCIES or not jobs:
            msg = "Ostler knows afterok, afterany, afternotok and aftercorr with job ids"
            raise ValueError(msg)
        for job in jobs:
            if not (job.isascii() and job.isdigit()):
                msg = f"{job!r} is not the id of a job"
                raise ValueError(msg)
            found.append(f"{job}:{_DEPENDENCIES[kind]}")
    return found


def _begin(value: str) -> str:
    """Return our form of Slurm's begin time."""
    if value == "now":
        return "+0s"
    if value.startswith("now+"):
        count = value[4:].rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = value[4 + len(count) :] or "seconds"
        return f"+{_count(count)}{unit[0]}"
    return value


def _export(value: str) -> list[str]:
    """Return the values of --env for ALL, NONE or a list of names and assignments."""
    parts = [part for part in value.split(",") if part]
    if parts == ["NIL"]:
        parts = ["NONE"]
    whole = "ALL" in parts
    named = [part for part in parts if part not in ("ALL", "NONE")]
    if whole:
        return [part for part in named if "=" in part]
    return ["none", *named]


def _pattern(value: str, array: bool, warnings: list[str], number: int) -> str:  # noqa: FBT001
    """Return our pattern of a file's name.

    Slurm's %j differs for each element of an array; ours does not, so the element goes with it.
    """
    out = ""
    lone = array and "%a" not in value
    chars = iter(value)
    for char in chars:
        if char != "%":
            out += char
            continue
        letter = next(chars, "")
        if letter in _PATTERNS:
            out += "%j_%a" if letter == "j" and lone else _PATTERNS[letter]
        else:
            out += "%%" + letter
            warnings.append(f"line {number}: #SBATCH %{letter} in {value} is not known; kept")
    return out
