"""Ends that Slurm's controller has forgotten: what its accounts and its job completion file tell."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from ostler.drivers.slurm_words import (
    JOB_STATES,
    Row,
    at_time,
    exit_signal,
    exit_status,
    judged,
    names,
    said,
    token_of,
)
from ostler.model.foreign import End, ForeignState
from ostler.model.limits import MAX_SENTENCE

SACCT = (
    *("JobID", "State", "ExitCode", "Submit", "Start", "End", "User", "NodeList", "Reason"),
    "Comment",
)
_COMPLETION = re.compile(
    r"JobId=(?P<id>\d+) .*?UserId=(?P<user>[^ (]+)\(\d+\) GroupId=\S+ Name=.* JobState=(?P<state>\S+) "
    r"Partition=\S* TimeLimit=\S+ StartTime=(?P<began>\S+) EndTime=(?P<over>\S+) "
    r"NodeList=(?P<nodes>\S*) .* SubmitTime=(?P<submitted>\S+) .*ExitCode=(?P<code>\d+:\d+) ?"
)


def end_of_sacct(row: Row) -> End | None:
    """Return the proof in a record of the accounts; None if it has not ended there."""
    word = row["State"].partition(" ")[0]  # `CANCELLED by 1000`
    result = JOB_STATES.get(word)
    if result is None or isinstance(result, ForeignState):
        return None
    result, reason = judged(str(result), row["ExitCode"], said(row["Reason"], MAX_SENTENCE))
    return End(
        id=row["JobID"],
        result=result,
        proof=f"sacct: {said(row['State'])} {row['ExitCode']}",
        incarnation=row["Submit"] if at_time(row["Submit"]) else "",
        token=token_of(row["Comment"]),
        user=row["User"],
        exit_status=exit_status(row["ExitCode"], result),
        signal=exit_signal(row["ExitCode"]),
        started_at=at_time(row["Start"]) if names(row["NodeList"]) else None,
        ended_at=at_time(row["End"]) or 0.0,
        reason=reason,
    )


def ends_of_file(
    lines: Iterable[str], seconds: Callable[[str], float | None], elements: Mapping[str, str]
) -> Iterator[End]:
    """Yield the proofs in lines of a job completion file.

    seconds: reads a time in it, which is of the controller's zone. elements: the ids of elements
    of arrays by the numbers that such a file calls them.
    """
    for line in lines:
        found = _COMPLETION.fullmatch(line)
        result = JOB_STATES.get(found["state"]) if found else None
        if found is None or result is None or isinstance(result, ForeignState):
            continue
        code = found["code"]
        result, reason = judged(str(result), code)
        yield End(
            id=elements.get(found["id"], found["id"]),
            result=result,
            proof=f"job completion file: {found['state']} {code}",
            incarnation=str(int(submitted)) if (submitted := seconds(found["submitted"])) else "",
            user=found["user"],
            exit_status=exit_status(code, result),
            signal=exit_signal(code),
            started_at=seconds(found["began"]) if names(found["nodes"]) else None,
            ended_at=seconds(found["over"]) or 0.0,
            reason=reason,
        )
