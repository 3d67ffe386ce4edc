"""A file that says all that administrators have set: what differs from it is changed, or nothing."""

from pathlib import Path
from textwrap import dedent

import pytest

from ostler.cli.config_file import Wanted, changes_of, file_of
from ostler.model.errors import OstlerError
from ostler.model.site import (
    SHIPPED,
    Access,
    Configuration,
    Handler,
    Holder,
    Moved,
    Partition,
    PartitionKind,
    Project,
    Reservation,
    Site,
    User,
    Work,
    site_of,
)
from ostler.model.site_changes import Draft, describe
from ostler.wire import messages
from tests.unit.scripted import Answer, manager, ostler

FULL = site_of(
    [
        Partition("main", is_default=True, time_limit=5400, memory_limit=3 << 30, factor=0.5),
        Partition("my batch", PartitionKind.BATCH, policy="fcfs", tier=2),
        Configuration("default", active=True, nodes={"main": "*", "my batch": "n[01-04]"}),
        Configuration("night", moved=Moved.SUSPEND),
        Access("my batch", Holder.USER, "ann", True, (Work.SERIAL,), max_cpus=8, time_limit=90),
        Access("*", Holder.DEFAULT, allow=False, kinds=()),
        Project("phys", shares=3, description='what "falls"'),
        User("ann", "operator", ("phys",)),
        Reservation("r", "n[1-3]", 1.5, 60, ("ann",), days=(0, 6)),
        Handler("h", event="node/status", command="/bin/true 'a b'"),
    ]
)
SETTINGS = {"max-age": "172800", "licences": "cad:3"}


def differences(
    text: str, site: Site = SHIPPED, settings: dict[str, str] | None = None
) -> list[str]:
    """Return what would change, in words."""
    wanted = Wanted("site.toml", dedent(text))
    draft = Draft(site, settings or {})
    changed = draft.take(changes_of(wanted, site, settings or {}))
    again = Draft(draft.site, draft.settings)
    assert again.take(changes_of(wanted, draft.site, draft.settings)) == []
    return [f"{each.verb} {' '.join(each.key)} {describe(each)}".strip() for each in changed]


@pytest.mark.parametrize(("site", "settings"), [(SHIPPED, {}), (FULL, SETTINGS)])
def test_the_file_that_is_shown_changes_nothing(site: Site, settings: dict[str, str]) -> None:
    assert differences(file_of(site, settings), site, settings) == []


def test_the_file_of_another_machine_makes_this_one_like_it() -> None:
    wanted = Wanted("site.toml", file_of(FULL, SETTINGS))
    draft = Draft(SHIPPED, {"grace-period": "5"})
    draft.take(changes_of(wanted, SHIPPED, {"grace-period": "5"}))
    assert (draft.site, draft.settings) == (FULL, SETTINGS)


def test_what_a_file_names_is_as_it_says_and_all_else_stays() -> None:
    text = """
        [attributes]
        max-age = "2d"
        [users.bob]
        role = "admin"
    """
    assert differences(text, FULL, SETTINGS) == [
        "remove ann",
        "create bob role admin",
        "remove licences",
    ]
    assert differences("[users]", FULL, SETTINGS) == ["remove ann"]
    assert differences("", FULL, SETTINGS) == []


def test_what_a_table_leaves_out_takes_its_default() -> None:
    text = """
        [configurations.default]
        active = true
        nodes = { main = "n[1-9]" }
        [configurations.night]
    """
    assert differences(text, FULL) == [
        "set default nodes main:* my batch:n[01-04] -> main:n[1-9]",
        "set night moved suspend -> go_on",
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[partitions.main\n", "site.toml is no TOML"),
        ("\n[party.main]\n", "site.toml, line 2, party: no such table (attributes, partitions, "),
        (
            "[partitions.a]\n\ntier = 'x'",
            "line 3, partitions.a.tier: tier of partition a cannot be",
        ),
        ("[partitions.a]\n# teir = 1\nteir = 2", "line 3, partitions.a.teir: partition a has no"),
        ("[partitions.b]\ntier=1\n[partitions.a]\ntier = -1", "line 4, partitions.a.tier"),
        ("[partitions.'a,b']\n", "line 1, partitions.a,b: name of partition a,b cannot be"),
        ("[partitions]\nmain = 1", "line 2, partitions.main: it is no table"),
        ("[attributes]\nmax-age = 'old'", "line 2, attributes.max-age: max-age cannot be 'old'"),
        ("[attributes]\n\nmax-ag = 1", "line 3, attributes.max-ag: no attribute is named"),
        ("[configurations.default]\nactive = true\nnodes = { main = 'n[' }", "line 3, configurat"),
        ("[[access]]\nallow = true", "line 1, access[0]: it is not clear whom it is about"),
        (
            "[[access]]\npartition = 'main'\nclass = 'user'\nname = 'a'",
            "it is about (partition, and user = NAME,",
        ),
        ("[configurations.a]\nnodes = { b = 'n[' }", "nodes of configuration a cannot be b=n[ ("),
        (
            "[[access]]\npartition = 'main'\n[[access]]\npartition = 'main'\nuser = 'a'\nrunning = 'x'",
            "line 6, access[1].running: running of access main user a cannot be 'x'",
        ),
        (
            "[[access]]\npartition = 'main'\n[[access]]\npartition = 'main'",
            "line 3, access[1]: there",
        ),
    ],
)
def test_nonsense_is_refused_by_line_and_key(text: str, error: str) -> None:
    with pytest.raises(OstlerError) as found:
        Wanted("site.toml", text)
    assert error in str(found.value)


DOCUMENT = {
    "partitions": [{"name": "main", "is_default": True}],
    "configurations": [{"name": "default", "active": True, "nodes": {"main": "*"}}],
    **{noun: [] for noun in ("access_controls", "projects", "users", "reservations")},
    "event_handlers": [],
    "resource_managers": [],
    "attributes": [],
    "serial": 7,
}
OVERLAP = """
[partitions.main]
is_default = true
[partitions.batch]
[configurations.default]
active = true
nodes = { main = "n[1-4]", batch = "n[4-5]" }
"""


def test_a_file_is_applied_to_the_site_that_it_was_compared_with(tmp_path: Path) -> None:
    def answer(request: object) -> Answer:
        if type(request).__name__ == "Read":
            return DOCUMENT
        row = {"verb": "create", "text": "created user ann: role operator"}
        return {"changes": [row], "serial": 8}

    file = tmp_path / "site.toml"
    file.write_text("[users.ann]\nrole = 'operator'\n")
    with manager(tmp_path, answer) as made:
        done = ostler(tmp_path, "config", "apply", str(file), "--dry-run")
        assert (done.status, done.out) == (0, "+ user ann: role operator\n")
        file.write_text(OVERLAP)
        done = ostler(tmp_path, "config", "apply", str(file))
        assert done.status == 3
        assert f"{file}, line 5, configurations.default: node n4 would be in two" in done.err
    [asked] = [each for each in made.requests if isinstance(each, messages.Administer)]
    assert (asked.dry, asked.serial, len(asked.changes)) == (True, 7, 1)
