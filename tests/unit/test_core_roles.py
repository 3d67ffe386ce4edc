"""Each verb has one line in the table of roles, and the machine goes by it."""

import typing
from typing import Any

import pytest

from ostler.core import events
from ostler.core.acts import VERBS as OF_JOBS
from ostler.core.events import Acted, Awaited, Modified, NodesWorded, Posted, ShutdownAsked
from ostler.core.roles import NEEDS, VERBS
from ostler.model.caller import Caller
from ostler.model.errors import OstlerError, Refused
from ostler.model.ids import parse_ref
from ostler.model.site import Role
from ostler.model.site_changes import Change
from ostler.model.site_kinds import ATTRIBUTE, KINDS
from tests.unit.core_kit import ANN, ROOT, Box

OF_NODES = ("drain", "undrain", "fence", "separate", "features")
CALLERS = {
    Role.USER: Caller(1010, 1010, "plain"),
    Role.OPERATOR: Caller(1011, 1011, "oper"),
    Role.ADMIN: Caller(1012, 1012, "chief"),
}
# What each role may do to a job of somebody else, and to what is nobody's: written out by hand.
TO_OTHERS = {
    **dict.fromkeys(OF_JOBS, Role.OPERATOR),
    "modify": Role.OPERATOR,
    "attach": Role.ADMIN,
}
TO_ALL = {
    **dict.fromkeys(("drain", "undrain", "fence", "features"), Role.OPERATOR),
    "separate": Role.ADMIN,
    "stop": Role.ADMIN,
    "post any": Role.OPERATOR,
    **{f"change {kind}": Role.ADMIN for kind in (*KINDS, ATTRIBUTE)},
}


@pytest.fixture
def box() -> Box:
    made = Box(["n1"])
    made.change(
        Change("set", "user", ("oper",), {"role": "operator"}),
        Change("set", "user", ("chief",), {"role": "admin"}),
    )
    return made


def ask(box: Box, by: Caller, verb: str) -> Any:
    """Ask for what a verb does, of a waiting job of ann's or of the machine."""
    if verb in OF_JOBS:
        [row] = box.ask(Acted, by, verb, (parse_ref("1"),), signal=1)["jobs"]
        if row.get("code") == "refused" and "belongs to" in row["message"]:
            raise Refused(row["message"])
        return row
    if verb == "modify":
        return box.ask(Modified, by, parse_ref("1"), {"name": "other"})
    if verb == "attach":
        return box.ask(Awaited, by, (parse_ref("1"),), attach=True)
    if verb in OF_NODES:
        return box.ask(NodesWorded, by, verb, ("n1",), "")
    if verb == "stop":
        return box.ask(ShutdownAsked, by, "wait")
    if verb == "post any":
        return box.ask(Posted, by, "node/seen", "n1", "")
    change = Change("remove", verb.partition(" ")[2], ("nothing",))
    return box.change(change, by=by)


def test_every_event_with_a_caller_has_its_verb_and_every_verb_its_line() -> None:
    with_caller = {
        kind for kind in typing.get_args(events.Event) if "caller" in kind.__struct_fields__
    }
    assert with_caller == VERBS.keys()
    assert {*OF_JOBS, *OF_NODES, *TO_OTHERS, *TO_ALL} <= NEEDS.keys()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("verb", [*TO_OTHERS, *TO_ALL])
def test_a_verb_is_for_its_role_and_those_above(box: Box, verb: str, role: Role) -> None:
    box.submit(by=ANN, hold=True)
    enough = role >= {**TO_OTHERS, **TO_ALL}[verb]
    try:
        ask(box, CALLERS[role], verb)
        was_refused = False
    except OstlerError as error:
        told = f"{error}"
        was_refused = " may not " in told and (" may" in told or "belongs to" in told)
    assert was_refused != enough


@pytest.mark.parametrize("verb", TO_OTHERS)
def test_anybody_may_do_it_to_a_job_of_their_own(box: Box, verb: str) -> None:
    box.submit(by=ANN, hold=True)
    ask(box, ANN, verb)


def test_the_owner_of_the_machine_needs_no_row(box: Box) -> None:
    box.change(Change("set", "user", ("root",), {"role": "user"}))
    assert box.change(Change("set", "user", ("bob",), {"shares": 2}), by=ROOT)


def test_one_name_under_two_uids_is_two_people(box: Box) -> None:
    box.submit(by=ANN, hold=True)
    with pytest.raises(Refused, match="belongs to ann"):
        ask(box, Caller(ANN.uid, ANN.gid, "bob"), "cancel")
    with pytest.raises(Refused, match="belongs to ann"):
        ask(box, Caller(2000, 2000, "ann"), "cancel")
