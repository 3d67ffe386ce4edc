"""The reference and the help say what the table says."""

from pathlib import Path

import pytest

from ostler.cli.click_road import help_text, overview_text
from ostler.cli.reference import reference
from ostler.cli.table import COMMANDS, GROUPS
from tests.unit.scripted import ostler

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"


def test_the_reference_is_up_to_date() -> None:
    hint = "run: .venv/bin/python -m ostler.cli.reference > docs/reference/cli.md"
    assert PAGE.read_text(encoding="utf-8") == reference(), hint


def test_the_overview_names_every_command_once() -> None:
    listed = overview_text().partition("\nJobs:\n")[2].splitlines()
    lines = [line.split("  ")[1].strip() for line in listed if "  " in line]
    lab = [name for name in COMMANDS if name.startswith("lab ")]
    assert sorted(filter(None, lines)) == sorted({*COMMANDS, "lab"} - {*lab})
    assert f"  {', '.join(name[4:] for name in lab)}" in "\n".join(listed)
    assert {c.group for c in COMMANDS.values()} == set(GROUPS)


@pytest.mark.parametrize("first", ["lab", "nodes", "config"])
def test_the_help_of_a_first_word_lists_what_may_follow(first: str, tmp_path: Path) -> None:
    below = [name for name in COMMANDS if name.startswith(f"{first} ")]
    text = " ".join(ostler(tmp_path, first, "--help").out.split())
    assert text == " ".join(ostler(tmp_path, "help", first).out.split())
    assert below
    assert [name for name in below if name not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_each_option_and_the_example(name: str) -> None:
    command = COMMANDS[name]
    text = help_text(command)
    assert command.summary in " ".join(text.split())
    assert " ".join(command.example.split()) in " ".join(text.split())
    for option in command.options:
        assert ", ".join(option.flags) in text
