"""What an administrator has decided about the queue, as far as a scheduler needs it."""

from msgspec import Struct


class Rules(Struct):
    """The rules of the whole machine."""

    max_cpus_per_user: int = 0  # CPUs one user may hold; 0: no limit
