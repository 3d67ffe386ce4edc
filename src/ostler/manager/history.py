"""Answers to `ostler history`: how a job, a node or a row of the site came to be as it is."""

from typing import Any

from ostler.core.absent import is_archived
from ostler.core.foreign.names import read_ref
from ostler.core.site_view import change_row, object_of
from ostler.core.state import State
from ostler.model.errors import Missing
from ostler.model.ids import job_name
from ostler.model.settings import ATTRIBUTES
from ostler.model.site import FIELDS
from ostler.model.site_kinds import ATTRIBUTE, KINDS
from ostler.store.protocol import Store
from ostler.store.sqlite.archive import Archives

Row = dict[str, Any]
JOB, NODE = "job", "node"


def history(text: str, state: State, store: Store, archives: Archives) -> Row:
    """Return what happened to what a text names; raise `Missing`, `UsageError`."""
    about = object_of(text, state)
    if about is None or about[0] == JOB:
        return _of_job(about[1] if about else text, state, store, archives)
    kind, name = about
    known = (JOB, NODE, ATTRIBUTE, *KINDS)
    if kind is not None and kind not in known:
        raise Missing(f"there is no kind {kind[:40]!r}", expected=", ".join(known))
    rows = [change_row(row) for row in store.transactions(name, kind)]
    if kind in (None, NODE):
        rows += shown(store.events(node=name, newest=True), store)
    if not rows and not _is_there(kind, name, state):
        told = f"{kind} {name}" if kind else repr(name)
        raise Missing(f"there is no {told}, and there never was", hint=_listed_by(kind))
    return {"events": sorted(rows, key=lambda row: row["at"])}


def _of_job(text: str, state: State, store: Store, archives: Archives) -> Row:
    wanted = read_ref(state, text)
    if is_archived(state, wanted.job):
        element = wanted.elements[0][0] if wanted.elements else None
        with archives.holding(wanted.job) as (month, kept):
            return {"events": shown(kept.history(wanted.job, element), store), "archive": month}
    if wanted.job not in state.ended:
        state.entry(wanted)
    element = wanted.elements[0][0] if wanted.elements else None
    return {"events": shown(store.history(wanted.job, element), store)}


def _is_there(kind: str | None, name: str, state: State) -> bool:
    """Say whether there is such a thing, of this kind or any: then it is only that none changed it."""
    if kind in (None, ATTRIBUTE) and name in ATTRIBUTES:
        return True
    kinds = [each for each in KINDS if kind in (None, each)]
    return any(
        " ".join(filter(None, key)) == name for each in kinds for key in state.site.rows(each)
    )


def _listed_by(kind: str | None) -> str:
    if kind is None:
        return "name its kind, too, as in `ostler history partition main`"
    if kind == ATTRIBUTE:
        return "see `ostler config effective`"
    return f"see `ostler {FIELDS.get(kind, 'nodes')}`"


def shown(rows: list[Row], store: Store) -> list[Row]:
    """Return events as they are listed, each with who has dealt with it."""
    known = store.dealt([row["serial"] for row in rows])
    keys = ("dealt_by", "dealt_at", "dealt_note")
    nobody = (None, None, None)
    return [
        named(row) | dict(zip(keys, known.get(row["serial"], nobody), strict=True)) for row in rows
    ]


def named(row: Row) -> Row:
    """Return the row with its job's number as the text that people use for it."""
    return row if row["job"] is None else row | {"job": job_name(row["job"])}
