"""The jobs that a request names, brought into memory so that the core can act on them."""

from collections.abc import Callable

from ostler.core.foreign.names import read_ref
from ostler.core.state import State
from ostler.model import limits
from ostler.model.errors import NotNow, UsageError
from ostler.model.ids import Ref, job_name


def refs_of(s: State, texts: list[str], recall: Callable[[Ref], None]) -> tuple[Ref, ...]:
    """Return what the texts name; raise `UsageError`, `Missing` or `NotNow`.

    recall: brings a job that has ended back into memory.
    """
    if not 1 <= len(texts) <= limits.MAX_REFS:
        raise UsageError(f"{len(texts)} jobs are named", expected=f"1 to {limits.MAX_REFS}")
    refs = []
    named = 0
    for text in texts:
        ref = read_ref(s, text)
        named += sum(high - low + 1 for low, high in ref.elements or ())
        if named > limits.MAX_NAMED:
            raise UsageError(
                f"{named} elements are named at once",
                expected=f"most: {limits.MAX_NAMED}",
                hint="name the whole job, or take them in parts",
            )
        refs.append(ref)
    for ref in refs:
        recall(ref)
    for ref in refs:
        if ref.job in s.ended and ref.job not in s.recent:
            raise NotNow(
                f"job {job_name(ref.job)} has ended and cannot be looked at beside the others",
                hint="name fewer jobs at once, or try again",
            )
    return tuple(refs)
