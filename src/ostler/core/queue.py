"""How many clients may wait in the queue of a partition until they are granted what they ask for."""

from ostler.core.state import State
from ostler.model.errors import NotNow, Refused
from ostler.model.job import JobSpec
from ostler.schedule.words import counted


def check_depth(s: State, spec: JobSpec) -> None:
    """Raise `Refused`, or `NotNow` if it is immediate, where as many wait as the queue may hold.

    Cost: by the unfinished jobs of clients, and nothing where no depth is set.
    """
    most = s.setting("queue-depth")
    if not most:
        return
    here = (s.jobs[number] for number in s.attended)
    waiting = sum(1 for e in here if e.waiting and e.job.spec.partition == spec.partition)
    if waiting < most:
        return
    told = f"{counted(waiting, 'request')} already in the queue of partition {spec.partition}"
    expected = f"its queue-depth is {most}"
    if spec.immediate:
        raise NotNow(told, expected=expected, hint="try again later")
    raise Refused(told, expected=expected, hint="use `ostler submit`, or try again later")
