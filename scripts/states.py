"""The reference of states, drawn from the tables that the core looks moves up in.

python scripts/states.py prints docs/reference/states.md; `make docs` writes it.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TypeVar

from ostler.model.states import (
    LEGAL_ALLOCATION,
    LEGAL_JOB,
    LEGAL_NODE,
    LEGAL_WORD,
    Result,
    Rule,
)

Member = TypeVar("Member", bound=StrEnum)

HEAD = """\
# States

Made by `make docs` from the tables in `ostler.model.states`; do not edit.

A move that is not in these tables is refused as a defect, is logged with the story of the object,
and changes nothing.
"""
JOBS = """\
## Jobs and elements

A job that is no array has the state of its one element. An array is `running` from its first
start until none of its elements is live. `done` can be left by `ostler requeue` only.

When it is done it has one result:
"""
ALLOCATIONS = """\
## Allocations

CPUs are named. A `suspended` allocation keeps its nodes and memory and gives up its CPUs; it goes
on when the very same ones are free.
"""
NODES = """\
## Nodes

The status is what the machine sees from outside. Beside it stands the administrator's word.
What runs on a silent node is unknown: it has not ended, and is not started elsewhere.
"""
WORDS = "### The administrator's word\n"
RULES = """\
## Why something waits

Every waiting job has one rule, shown by `ostler explain` with its numbers:

| rule | meaning |
| --- | --- |"""

RESULTS = {
    Result.SUCCESS: "all its tasks, or all its elements, ended with 0",
    Result.FAILED: "a task ended with another status, or by a signal",
    Result.CANCELLED: "somebody ended it",
    Result.TIMEOUT: "its time limit ended it",
    Result.MEMORY: "it used more memory than it asked for",
    Result.LOST: "it may have run, and nobody is left who could tell how it ended",
    Result.REJECTED: "no node could start it",
    Result.DEPENDENCY: "what it waited for can no longer happen",
}
MEANINGS = {
    Rule.NEW: "no planning pass has looked at it yet",
    Rule.HOLD: "somebody holds it; `ostler release` lets it go",
    Rule.NOT_BEFORE: "its `--not-before` has not come",
    Rule.DEPENDENCY: "a job that it waits for has not ended",
    Rule.LIMIT: "its user, group, project or partition would hold more than a limit allows",
    Rule.CHUNK: "it was handed to a node, behind other elements of its array",
    Rule.ARRAY_CAP: "as many of its elements are live as `--array ...%N` allows",
    Rule.PARTITION: "its partition is stopped; `ostler partitions start` lets it go",
    Rule.SCHEDULER: "another scheduler plans its partition, and has not started it",
    Rule.CONFIGURATION: "its partition has nodes that would do in another configuration",
    Rule.LICENCES: "others hold the licences that it asks for",
    Rule.RESOURCES: "CPUs, memory, GPUs or a named resource are busy",
    Rule.NODES: "enough nodes are configured, but too few are up and in",
    Rule.RESERVED: "nodes that would do are reserved for others, or will be before it could end",
    Rule.QUEUE: "jobs that ask for the same are ahead of it: what they wait for, it waits for",
    Rule.BEHIND: "it would fit now, but would delay what is ahead of it",
    Rule.NODE_LEFT: "the nodes that were large enough have left the machine",
    Rule.FOREIGN: "another resource manager has it, and starts it by itself",
    Rule.RETRY: "a node could not start it; it is tried again after a moment",
}


def moves(legal: Mapping[Member, frozenset[Member]]) -> Iterator[str]:
    """Yield one machine as a table and as a Mermaid state diagram, in the order of its states."""
    order = list(legal)
    after = {left: sorted(entered, key=order.index) for left, entered in legal.items()}
    yield from ("| from | to |", "| --- | --- |")
    for left, entered in after.items():
        yield f"| `{left}` | {', '.join(f'`{state}`' for state in entered) or '-'} |"
    yield from ("", "```mermaid", "stateDiagram-v2")
    yield from (f"    {left} --> {state}" for left in order for state in after[left])
    yield from ("```", "")


def page() -> str:
    """Return the whole page."""
    lines = [HEAD, JOBS]
    lines += [f"- `{result}`: {RESULTS[result]}" for result in Result]
    lines += ["", *moves(LEGAL_JOB)]
    lines += [ALLOCATIONS, *moves(LEGAL_ALLOCATION)]
    lines += [NODES, *moves(LEGAL_NODE)]
    lines += [WORDS, *moves(LEGAL_WORD)]
    lines += [RULES, *(f"| `{rule}` | {MEANINGS[rule]} |" for rule in Rule), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
