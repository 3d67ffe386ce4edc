"""What a relay is to hold, and how values that came over a socket are read."""

from ostler.wire import streams

Message = dict[str, object]
Window = tuple[int, int]  # rows and columns of a terminal


class Order:
    """What a relay is to hold, taken from a map; raises ValueError where it makes no sense."""

    def __init__(self, order: Message) -> None:
        self.uid = number(order, "uid")
        self.gid = number(order, "gid")
        self.user = str(order.get("user", ""))
        self.tasks = number(order, "tasks")  # of the job, on all its nodes
        self.first_rank = number(order, "first_rank")
        self.label = order.get("label") is True
        self.keep = order.get("keep") is True
        self.stdin = str(order.get("stdin", streams.FIRST))
        self.window = window_of(order.get("window"))
        self.is_terminal = self.window is not None


def window_of(value: object) -> Window | None:
    """Return rows and columns of a terminal; None where they are none."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    rows, columns = value
    good = all(type(n) is int and 0 <= n <= 0xFFFF for n in (rows, columns))
    return (rows, columns) if good else None


def ranks_of(message: Message, most: int) -> list[int]:
    """Return the ranks in a message, `most` of them or fewer; raise ValueError where it has none."""
    listed = message.get("ranks")
    if not isinstance(listed, list) or not 1 <= len(listed) <= most:
        msg = "these are no ranks of tasks"
        raise ValueError(msg)
    return [number({"rank": rank}, "rank") for rank in listed]


def number(message: Message, key: str) -> int:
    """Return a number of a message; raise ValueError where it is none."""
    value = message.get(key)
    if not isinstance(value, int) or not 0 <= value < 1 << 32:
        msg = f"{key} is {value!r}, no number that can be meant"
        raise ValueError(msg)
    return value
