"""How a job, a node or a row of the site came to be as it is; what there never was is missing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostler.manager.history import history
from ostler.model.errors import Missing
from ostler.model.site_changes import Change
from ostler.store.sqlite.archive import Archives
from tests.store.builders import Held
from tests.unit.core_kit import Box, saved

Told = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """Give what is told of a machine in which a job was submitted and a partition made."""
    box, held = Box(["n1"]), Held(":memory:")
    box.submit()
    box.change(Change("create", "partition", ("batch",), {}))
    held.commit(*saved(box.done))
    nowhere = Archives(Path("/nowhere"))

    def ask(text: str) -> list[str]:
        return [
            row["kind"] for row in history(text, box.machine.state, held.store, nowhere)["events"]
        ]

    yield ask
    held.store.close()


def test_a_name_may_stand_alone_or_behind_its_kind(told: Told) -> None:
    assert told("1")[0] == told("job 1")[0] == "job/submitted"
    assert told("n1") == told("node n1") == ["node/joined", "node/status"]
    assert told("batch") == told("partition batch") == ["partition/created"]


def test_what_nobody_changed_has_no_history_and_is_not_missing(told: Told) -> None:
    for text in ("partition main", "configuration default", "attribute prolog", "prolog"):
        assert told(text) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("partition nosuch", "no partition nosuch, and there never was; see `ostler partitions`"),
        ("access main", "no access main, and there never was; see `ostler access`"),
        ("attribute nosuch", "there never was; see `ostler config effective`"),
        ("node n9", "there never was; see `ostler nodes`"),
        ("nosuch", "name its kind, too"),
        ("thing main", "no kind 'thing' .job, node, attribute, partition, "),
        ("job 7", "no job 7"),
    ],
)
def test_what_there_never_was_is_missing(told: Told, text: str, sentence: str) -> None:
    with pytest.raises(Missing, match=sentence):
        told(text)
