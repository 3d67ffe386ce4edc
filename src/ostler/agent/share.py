"""One allocation's share on this node, as the starter was ordered to run it."""

from ostler.agent.starter_protocol import CONTEXTS, MARKER_ALLOCATION, MARKER_STATE
from ostler.model.limits import MAX_ELEMENT, MAX_NAMED, MAX_TASKS, STDIN
from ostler.model.units import format_size
from ostler.wire.streams import relay_name

# What an agent that takes a dead starter's place needs to know of the order.
_KEPT = (
    "alloc", "job", "element", "attempt", "uid", "time_limit", "warn_signal", "warn_before",
    "grace", "lease",
)  # fmt: skip
# In the environment, what an element or a task has for itself.
_OWN = (
    b"OSTLER_ATTEMPT", b"OSTLER_ELEMENT", b"OSTLER_ITEM", b"OSTLER_RANK", b"OSTLER_CPUS",
    b"OSTLER_CPU_LIST", b"OSTLER_STEP", b"OSTLER_CONTEXT",
)  # fmt: skip
MOST = 1 << 62  # of any number that comes over the wire
_MOST_ATTEMPTS = (1 << 32) - 1  # as the spool holds it
_LAST_ID = (1 << 32) - 2  # the one after it means "unchanged" to the kernel
_KEPT_PLACE = ("node", "tasks", "first_rank", "memory")


class Share:
    """The fields of `model.orders.Launch` that a starter needs, taken from a map.

    Raises ValueError when a field is missing or of another kind. Loading the model itself would
    cost every starter the memory of msgspec.
    """

    __slots__ = (
        "_ranks", "_seats", "alloc", "argv", "attempt", "chunk", "cpus", "cwd", "declared",
        "each_cpus", "element", "env", "error", "first_rank", "gid", "gpus", "grace", "input",
        "is_array", "item", "job", "kill_on_bad_exit", "lease", "members", "memory", "name", "node",
        "output", "rlimits", "script", "start", "stdin", "stdio", "step", "streams", "task_gpus",
        "tasks", "time_limit", "total_tasks", "uid", "umask", "user", "verbose", "warn_before",
        "warn_signal",
    )  # fmt: skip

    def __init__(self, order: dict[str, object]) -> None:
        place, request = _Fields(order.get("placement")), _Fields(order.get("request", {}))
        get = _Fields(order)
        self.alloc = get.number("alloc")
        self.job = get.number("job")
        self.element = get.number("element", most=MAX_ELEMENT)
        self.attempt = get.number("attempt", most=_MOST_ATTEMPTS)
        self.user = get.text("user")
        self.uid = get.number("uid", most=_LAST_ID)
        self.gid = get.number("gid", most=_LAST_ID)
        self.node = place.text("node")
        self.tasks = place.number("tasks", 1, MAX_TASKS)
        self.first_rank = place.number("first_rank", 0)
        self.cpus = place.numbers("cpus")
        self.memory = place.number("memory", 0)  # bytes, all tasks of this share together
        self.gpus = place.numbers("gpus")
        self.each_cpus = request.number("cpus", 1)
        self.task_gpus = request.number("gpus", 0)
        # Its number among the steps of the job's allocation; -1: it is none.
        self.step = get.number("step") if order.get("step", -1) != -1 else -1
        self.total_tasks = get.number("total_tasks", 1)
        self._ranks = get.numbers("ranks")
        if self._ranks and not len(self._ranks) == len(set(self._ranks)) == self.tasks:
            msg = f"the order has {len(self._ranks)} ranks for {self.tasks} tasks"
            raise ValueError(msg)
        self._seats = {rank: at for at, rank in enumerate(self._ranks)}
        self.kill_on_bad_exit = get.flag("kill_on_bad_exit", default=False)
        self.verbose = get.flag("verbose", default=False)
        self.members = get.texts("members") or [self.node]
        self.start = get.flag("start", default=True)
        self.declared = get.flag("declared", default=False)
        self.is_array = get.flag("is_array", default=False)
        self.chunk = checked_chunk(order["chunk"]) if order.get("chunk") is not None else None
        self.argv = get.many("argv")
        self.script = get.data("script", b"")
        self.env = get.data("env", b"")
        self.item = get.data("item", b"") if order.get("item") is not None else None
        self.cwd = get.data("cwd", b"/")
        self.umask = get.number("umask", 0o022)
        self.name = get.text("name", "")
        self.output = get.data("output", b"")
        self.error = get.data("error", b"")
        self.input = get.data("input", b"")
        self.time_limit = get.number("time_limit", 0)
        self.warn_signal = get.number("warn_signal", 0)
        self.warn_before = get.number("warn_before", 0)
        self.grace = get.number("grace", 30)
        self.rlimits = get.counts("rlimits")
        self.stdio = get.text("stdio", "")
        self.stdin = get.text("stdin", STDIN[0])
        self.streams = _Fields(order["streams"]) if order.get("streams") is not None else None
        self.lease = get.number("lease", 0)

    def for_spool(self) -> dict[str, object]:
        """Return what the next agent may need of the order."""
        kept: dict[str, object] = {key: getattr(self, key) for key in _KEPT}
        kept["is_slot"] = self.is_slot
        kept["placement"] = {key: getattr(self, key) for key in _KEPT_PLACE}
        return kept

    @property
    def is_slot(self) -> bool:
        """Say whether it runs the elements of chunks, one after the other."""
        return self.chunk is not None

    def turn_to(self, element: int, attempt: int, item: bytes | None) -> None:
        """Go on with this element."""
        self.element = element
        self.attempt = attempt
        self.item = item

    def forget_large_parts(self) -> None:
        """Free the environment and script once a `Command` has them, and the chunk."""
        self.env = self.script = b""
        self.chunk = {} if self.is_slot else None

    @property
    def relay(self) -> str:
        """Return the name of the relay that holds the streams; empty: none does."""
        return "" if self.streams is None else relay_name(self.job, self.step)

    @property
    def is_on_terminal(self) -> bool:
        """Say whether the task has a terminal of its own."""
        return self.streams is not None and bool(self.streams.numbers("window"))

    @property
    def ranks(self) -> "range | list[int]":
        """Return the ranks of this share's tasks."""
        return self._ranks or range(self.first_rank, self.first_rank + self.tasks)

    def _seat(self, rank: int) -> int:
        """Return the place of a task among those of this share."""
        return self._seats[rank] if self._seats else rank - self.first_rank

    def bound(self, rank: int) -> str:
        """Return where a task runs and what it has there, as a person reads it."""
        cpus = self.cpus_of(rank)
        told = f"rank {rank} on {self.node}: CPU{'s' * (len(cpus) > 1)} {_list(cpus).decode()}"
        if self.task_gpus:
            told += f", GPU {_list(self.gpus_of(rank)).decode()}"
        memory = format_size(self.memory // self.tasks) if self.memory else "without a limit"
        return f"{told}, memory {memory}"

    def cpus_of(self, rank: int) -> list[int]:
        """Return the CPUs of one task; all of the share's where they cannot be told apart."""
        at = self._seat(rank) * self.each_cpus
        return self.cpus[at : at + self.each_cpus] or self.cpus

    def gpus_of(self, rank: int) -> list[int]:
        """Return the GPUs of one task; all of the share's where they cannot be told apart."""
        at = self._seat(rank) * self.task_gpus
        return self.gpus[at : at + self.task_gpus] or self.gpus

    def words(self, rank: int) -> dict[str, str]:
        """Return what the letters of output patterns stand for."""
        return {
            "j": str(self.job),
            "a": str(self.element),
            "t": str(rank),
            "n": self.node,
            "u": self.user,
            "x": self.name,
        }

    def environment(self, state: bytes) -> dict[bytes, bytes]:
        """Return the environment of all tasks; `own` and `variables` have what is put beside it."""
        pairs = (entry.partition(b"=") for entry in self.env.split(b"\0"))
        env = {key: value for key, equals, value in pairs if key and equals}
        for name in _OWN:  # of the job from which this one was submitted
            env.pop(name, None)
        env[b"OSTLER_JOB"] = b"%d" % self.job
        env[b"OSTLER_TASKS"] = b"%d" % self.total_tasks
        env[b"OSTLER_NODE"] = self.node.encode()
        env[b"OSTLER_NODES"] = ",".join(self.members).encode()
        if self.step >= 0:
            env[b"OSTLER_STEP"] = b"%d" % self.step
        if self.total_tasks > 1 and not self.is_slot:
            env[b"OSTLER_CONTEXT"] = b"%s/%s/%d" % (state, CONTEXTS.encode(), self.alloc)
        env[MARKER_ALLOCATION] = b"%d" % self.alloc
        env[MARKER_STATE] = state
        if self.task_gpus or self.gpus:
            env.pop(b"CUDA_VISIBLE_DEVICES", None)
        return env

    def own(self) -> list[bytes]:
        """Return the NAME=VALUE of the present element."""
        entries = [b"OSTLER_ATTEMPT=%d" % self.attempt]
        if self.is_array:
            entries.append(b"OSTLER_ELEMENT=%d" % self.element)
        if self.item is not None:
            entries.append(b"OSTLER_ITEM=%s" % self.item.replace(b"\0", b""))
        return entries

    def variables(self, rank: int) -> list[bytes]:
        """Return the NAME=VALUE of one task."""
        entries = [
            b"OSTLER_RANK=%d" % rank,
            b"OSTLER_CPUS=%d" % self.each_cpus,
            b"OSTLER_CPU_LIST=%s" % _list(self.cpus_of(rank)),
        ]
        if self.task_gpus or self.gpus:
            entries.append(b"CUDA_VISIBLE_DEVICES=%s" % _list(self.gpus_of(rank)))
        return entries


def _list(numbers: list[int]) -> bytes:
    return ",".join(map(str, numbers)).encode()


def checked_chunk(value: object) -> dict[str, object]:
    """Return a `Chunk` as `core.line` takes it; raise ValueError if it cannot be meant."""
    get = _Fields(value)
    return {
        "elements": checked_spans(get.values("elements", list)),
        "attempts": _pairs(get.values("attempts", list), _MOST_ATTEMPTS),
        "items": get.many("items"),
        "last": get.flag("last", default=True),
    }


def checked_spans(value: object) -> list[tuple[int, int]]:
    """Return ranges of elements; raise ValueError if they cannot be meant."""
    spans = _pairs(value, MAX_ELEMENT)
    if sum(max(0, high - low + 1) for low, high in spans) > MAX_NAMED:
        msg = f"the order names more than {MAX_NAMED} elements"
        raise ValueError(msg)
    return spans


def _pairs(value: object, most: int) -> list[tuple[int, int]]:
    pairs = []
    for pair in value if isinstance(value, list) else ():
        numbers = pair if isinstance(pair, list) and len(pair) == 2 else ()
        if not numbers or not all(type(n) is int and 0 <= n <= most for n in numbers):
            msg = f"the order has {pair!r} where two numbers are wanted"
            raise ValueError(msg)
        pairs.append((numbers[0], numbers[1]))
    return pairs


class _Fields:
    """Typed reading of a map that came over the wire."""

    __slots__ = ("_map",)

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            msg = "the order has no map where one is wanted"
            raise ValueError(msg)
        self._map = value

    def _get(self, key: str, kind: type, default: object) -> object:
        value = self._map.get(key, default)
        if type(value) is not kind:
            msg = f"the order's field {key!r} is {value!r}, no {kind.__name__}"
            raise ValueError(msg)
        return value

    def number(self, key: str, default: int | None = None, most: int = MOST) -> int:
        value = self._map.get(key, default)
        if type(value) is not int or not 0 <= value <= most:
            msg = f"the order's field {key!r} is {value!r}, not from 0 to {most}"
            raise ValueError(msg)
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._get(key, str, default))

    def flag(self, key: str, *, default: bool) -> bool:
        return self._get(key, bool, default) is True

    def data(self, key: str, default: bytes) -> bytes:
        value = self._get(key, bytes, default)
        return value if isinstance(value, bytes) else b""

    def counts(self, key: str) -> dict[str, int]:
        found = self._get(key, dict, {})
        pairs = found.items() if isinstance(found, dict) else ()
        return {
            str(name): count
            for name, count in pairs
            if type(count) is int and -1 <= count < 1 << 63
        }

    def values(self, key: str, kind: type) -> list[object]:
        values = self._get(key, list, [])
        wanted = isinstance(values, list) and all(type(value) is kind for value in values)
        if not wanted or not isinstance(values, list):
            msg = f"the order's field {key!r} is no list of {kind.__name__}"
            raise ValueError(msg)
        return values

    def numbers(self, key: str) -> list[int]:
        return [value for value in self.values(key, int) if isinstance(value, int)]

    def texts(self, key: str) -> list[str]:
        return [str(value) for value in self.values(key, str)]

    def many(self, key: str) -> list[bytes]:
        return [value for value in self.values(key, bytes) if isinstance(value, bytes)]
