"""What `ostler explain --if` supposes: another request, other nodes. Nothing of it is carried out."""

from typing import Annotated

from msgspec import Meta, Struct

from ostler.model.bounded import Count, Index, Name
from ostler.model.limits import (
    MAX_ARGUMENTS,
    MAX_CONSTRAINT,
    MAX_GENERIC,
    MAX_LICENCES,
    MAX_MORE_NODES,
    MAX_SUPPOSED,
    MAX_TASKS,
)
from ostler.model.resources import Request

Names = Annotated[tuple[Name, ...], Meta(max_length=MAX_ARGUMENTS)]
Range = tuple[Index, Index]


class MoreNodes(Struct, frozen=True, omit_defaults=True):
    """Nodes that are idle, in the partition of the job."""

    count: Annotated[int, Meta(ge=1, le=MAX_MORE_NODES)]
    like: Name = ""  # the node that they are like; empty: the most common kind of the partition


class Supposed(Struct, frozen=True, omit_defaults=True):
    """A job as it might have been asked for: None is what it is, or the default of `submit`."""

    time_limit: Count | None = None  # seconds; 0: none
    partition: Name | None = None
    project: Name | None = None
    priority: Annotated[int, Meta(ge=0, le=100)] | None = None
    array: Annotated[tuple[Range, ...], Meta(max_length=MAX_ARGUMENTS)] | None = None
    array_cap: Count | None = None
    tasks: Annotated[int, Meta(ge=1, le=MAX_TASKS)] | None = None
    cpus: Count | None = None
    memory: Count | None = None  # bytes
    gpus: Count | None = None
    generic: Annotated[dict[Name, Count], Meta(max_length=MAX_GENERIC)] | None = None
    nodes: Count | None = None
    nodelist: Names | None = None
    exclude: Names | None = None
    tasks_per_node: Count | None = None
    constraint: Annotated[str, Meta(max_length=MAX_CONSTRAINT)] | None = None
    exclusive: bool | None = None
    spread: bool | None = None
    licences: Annotated[dict[Name, Count], Meta(max_length=MAX_LICENCES)] | None = None
    reservation: Name | None = None
    more: Annotated[tuple[MoreNodes, ...], Meta(max_length=MAX_SUPPOSED)] = ()
    without: Names = ()  # nodes that take no new work; what runs there goes on


SPEC_KEYS = ("time_limit", "partition", "project", "priority", "array", "array_cap")
REQUEST_KEYS = Request.__struct_fields__
