"""What `--if 'time=2h,cpus=4'` and `--if-nodes +4` mean: a job and a machine that might be."""

from difflib import get_close_matches

from ostler.cli.ask import names, number
from ostler.cli.job_values import Values, job_values
from ostler.cli.options import Given, Value
from ostler.cli.table_jobs import JOBS
from ostler.cli.table_options import Option
from ostler.client.spec import REQUEST_KEYS
from ostler.model.errors import UsageError
from ostler.model.limits import MAX_MORE_NODES, MAX_SUPPOSED
from ostler.model.nodeset import outside_brackets

# What a start depends on: values of `job_values`, and the options that give them.
_SUPPOSED = ("time_limit", "partition", "project", "priority", "array", "array_cap", *REQUEST_KEYS)
_KEYS = frozenset({*_SUPPOSED, "time"})
_LISTS = frozenset({"nodelist", "exclude", "array", "licences"})  # whose values may hold commas
_NOTHING: dict[str, object] = {"nodelist": [], "exclude": [], "constraint": "", "array": []}
_NOTHING |= {"generic": {}, "licences": {}, "time": 0}
_AS_IN = "as in --if 'time=2h,cpus=4,partition=gpu'"
_NODES = "+4, +4:NODE (like that one) or -NODE (without it)"


def supposed(changes: list[str], nodes: list[str]) -> Values:
    """Return what the manager is asked to suppose; raise `UsageError` that names the nearest."""
    found = _job(changes)
    more, without = _nodes(nodes)
    if more:
        found["more"] = more
    if without:
        found["without"] = without
    return found


def _job(texts: list[str]) -> Values:
    options = _options()
    values: dict[str, Value] = {}
    nothing: Values = {}
    for option, text in (pair for each in texts for pair in _pairs(options, each)):
        name = option.name
        if not option.metavar:
            values[name] = True
        elif not text or (name == "time" and text in ("none", "unlimited")):
            if name not in _NOTHING:
                raise UsageError(f"{name} needs a value", expected=_AS_IN)
            nothing["time_limit" if name == "time" else name] = _NOTHING[name]
        elif option.many:
            known = values.setdefault(name, [])
            if isinstance(known, list):
                known.append(text)
        else:
            values[name] = text
    given = job_values(Given(JOBS["submit"], values, [], separated=True))
    return {key: given[key] for key in _SUPPOSED if key in given} | nothing


def _options() -> dict[str, Option]:
    """Return what may be supposed, by the names that `submit` has for it."""
    options = (option for option in JOBS["submit"].options if option.name in _KEYS)
    return {flag[2:]: o for o in options for flag in o.flags if flag.startswith("--")}


def _pairs(options: dict[str, Option], text: str) -> list[tuple[Option, str]]:
    """Return the options that a text like `time=2h,nodelist=n1,n3` gives, with their values."""
    found: list[tuple[Option, str]] = []
    for part in outside_brackets(text):
        key, equals, value = part.partition("=")
        option = options.get(key.strip().replace("_", "-"))
        if option is not None and (equals or not option.metavar):
            found.append((option, value.strip()))
        elif found and not equals and found[-1][0].name in _LISTS:
            found[-1] = found[-1][0], f"{found[-1][1]},{part}"
        elif option is not None:
            raise UsageError(f"{key.strip()} needs a value", expected=_AS_IN)
        else:
            raise _unknown(options, key.strip())
    return found


def _unknown(options: dict[str, Option], key: str) -> UsageError:
    others = {flag[2:] for o in JOBS["submit"].options for flag in o.flags}
    if key in others:
        message = f"when a job starts does not depend on its {key}"
        return UsageError(message, hint=f"there are {', '.join(options)}")
    near = get_close_matches(key, list(options), 1)
    hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(options)}"
    return UsageError(f"nothing named {key!r} can be supposed of a job", expected=_AS_IN, hint=hint)


def _nodes(texts: list[str]) -> tuple[list[Values], list[str]]:
    more: list[Values] = []
    without: list[str] = []
    for text in texts:
        leaves = False
        for part in outside_brackets(text):
            if part.startswith("+"):
                count, _, like = part[1:].partition(":")
                many = number("--if-nodes +", count, MAX_MORE_NODES)
                if not many:
                    raise UsageError("--if-nodes +0 adds nothing", expected=_NODES)
                more.append({"count": many, "like": like} if like else {"count": many})
                leaves = False
            elif part.startswith("-") or leaves:
                name = part.removeprefix("-")
                if name.isdigit():
                    raise UsageError(
                        f"--if-nodes {part} does not say which", hint="name them: --if-nodes -n3,n4"
                    )
                without += names(name)
                leaves = True
            else:
                raise UsageError(f"--if-nodes cannot be {text!r}", expected=_NODES)
    if len(more) > MAX_SUPPOSED:
        raise UsageError(
            f"{len(more)} kinds of nodes are supposed", expected=f"most: {MAX_SUPPOSED}"
        )
    return more, without
