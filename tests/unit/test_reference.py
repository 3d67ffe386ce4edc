"""The reference says what the code does."""

from pathlib import Path

from ostler.model import limits
from ostler.model.settings import ATTRIBUTES

DOCS = Path(__file__).parents[2] / "docs" / "reference"


def test_every_attribute_is_described_with_its_default() -> None:
    page = (DOCS / "environment.md").read_text()
    for a in ATTRIBUTES.values():
        assert f"| `{a.key}` | {a.default or ('none' if a.parse else 0)} | {a.help} |" in page


def test_the_limits_named_are_those_in_force() -> None:
    page = (DOCS / "environment.md").read_text()
    for text, value in (
        ("32 MiB", limits.MAX_FRAME),
        ("2 MiB", limits.MAX_ENVIRONMENT),
        ("8 MiB", limits.MAX_SCRIPT),
        ("1 MiB", limits.MAX_ARGV),
        ("24 MiB", limits.MAX_ITEMS),
    ):
        assert text in page
        assert value == int(text.split()[0]) << 20
    for value in (limits.MAX_ARGUMENTS, limits.MAX_ARRAY, limits.MAX_ELEMENT, limits.MAX_REFS):
        assert f"{value:,}" in page
    for value in (limits.MAX_WAITING, limits.MAX_QUERY):
        assert f"{value:,}" in page
