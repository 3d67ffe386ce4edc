"""All rows, in the order in which they are measured."""

from collections.abc import Callable

from msgspec import Struct

from bench.bench import Bench
from bench.rows import (
    commands,
    cycle,
    during,
    elements,
    foreign,
    futures,
    large,
    latency,
    pressing,
    probing,
    replay,
    schedulers,
    submissions,
    upkeep,
    waiting,
)


class Row(Struct, frozen=True):
    """One row of the bench."""

    name: str
    about: str
    measure: Callable[[Bench], None]
    short: bool = False  # in the short form, too


ROWS = (
    Row("elements", "an array of /bin/true, output discarded", elements.discarded, short=True),
    Row("elements-output", "the same with a file for each", elements.with_output, short=True),
    Row("latency", "from submission to the job's body", latency.measure, short=True),
    Row("submit", "`ostler submit`, the whole process", commands.submit, short=True),
    Row("submissions", "durable, over one connection", submissions.one_connection, short=True),
    Row("run-latency", "`ostler run true`, one after another", commands.run, short=True),
    Row("futures", "a small Python function, through futures", futures.measure, short=True),
    Row("replay", "a year of KTH's IBM SP2 by policy", replay.kth, short=True),
    Row("replay-curie", "300,000 jobs on 80,640 processors", replay.curie),
    Row("cycle", "a planning cycle of a large machine, by nodes", cycle.measure),
    Row("pressing", "who gives way on a large machine, by nodes", pressing.measure),
    Row("large", "commands while a large machine is planned", large.measure, short=True),
    Row("waiting", "an array's speed by what waits behind it", waiting.measure),
    Row("clients", "submissions by the number of clients", submissions.many_clients),
    Row("memory", "resident size against waiting jobs", upkeep.memory),
    Row("idle", "what it costs to be there", upkeep.idle),
    Row("probing", "looks at 5,000 nodes from outside", probing.probing),
    Row("foreign", "commands beside another resource manager", foreign.commands),
    Row("foreign-loads", "a large load of another resource manager", foreign.loads),
    Row("foreign-nodes", "nodes asked for one by one, 1 ms each", foreign.nodes),
    Row("schedulers", "answers while another scheduler plans a long queue", schedulers.measure),
    Row("during", "commands while a great array runs", during.measure),
)
