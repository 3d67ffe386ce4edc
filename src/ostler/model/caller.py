"""Who asks: taken from the kernel's peer credentials, never from what the peer says."""

from msgspec import Struct


class Caller(Struct, frozen=True):
    """An authenticated user."""

    uid: int
    gid: int
    user: str
    groups: tuple[str, ...] = ()  # by name; only where the site has rows for groups
    owner: bool = False  # of the machine, or root: both may do anything
