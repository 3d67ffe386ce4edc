"""Both roads read the same words the same way, and what is wrong is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostler.cli.click_road import parse
from ostler.cli.options import Declined, Given, choose, read, settle
from ostler.cli.table import COMMANDS
from ostler.cli.table_jobs import JOBS
from ostler.cli.table_options import Command
from ostler.model.errors import UsageError

PLAIN_WORDS = st.sampled_from(["true", "12", "a b", "", "-", "ä", "\udcff", "x=y", "n[1-3]"])
VALUES = st.sampled_from(["4", "", "8G", "a=b", "-1", "--", "-n", "n1,n2", "\udcff", " "])


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[Command, list[str]]:
    """A command with words and options of every form, most of them right."""
    command = draw(st.sampled_from(list(COMMANDS.values())))
    args: list[str] = []
    for _ in range(draw(st.integers(0, 6))):
        form = draw(st.integers(0, 6))
        option = draw(st.sampled_from(command.options))
        flag = draw(st.sampled_from(option.flags))
        if form == 0:
            args.append(draw(PLAIN_WORDS))
        elif form == 1:
            args.append(draw(st.sampled_from(["--", "--nonsense", "-Z", "-qq", "---"])))
        elif not option.metavar:
            args.append(flag)
        elif form == 2 and flag.startswith("--"):
            args.append(f"{flag}={draw(VALUES)}")
        elif form == 3 and not flag.startswith("--"):
            args.append(f"{flag}{draw(VALUES)}")
        else:
            args += [flag, draw(VALUES)]
    return command, args


def seen(given: Given) -> tuple[object, ...]:
    return given.values, given.words, given.separated


@given(command_lines())
def test_what_the_everyday_road_reads_click_reads_the_same(line: tuple[Command, list[str]]) -> None:
    command, args = line
    try:
        quick = read(command, args)
    except Declined:
        return
    slow = parse(command, args)
    assert slow is not None
    assert seen(slow) == seen(quick)


@given(command_lines())
def test_what_click_reads_the_everyday_road_reads_too(line: tuple[Command, list[str]]) -> None:
    command, args = line
    try:
        slow = parse(command, args)
    except UsageError:
        return
    assert slow is not None
    assert seen(read(command, args)) == seen(slow)


def given_of(*argv: str) -> Given:
    command, before, rest = choose(list(argv))
    assert command is not None
    return settle(read(command, rest), before)


@pytest.mark.parametrize(
    ("words", "values", "rest"),
    [
        ("run -n4 -c 2 make -j2", {"tasks": "4", "cpus": "2"}, ["make", "-j2"]),
        ("run -qn4 make", {"quiet": True, "tasks": "4"}, ["make"]),
        ("run --tasks=4 -- -x", {"tasks": "4"}, ["-x"]),
        ("--state /a run true", {"state": "/a"}, ["true"]),
        ("--state=/a run --state /b true", {"state": "/b"}, ["true"]),
        ("cancel 1 -q 2", {"quiet": True}, ["1", "2"]),
        ("submit --after 1 --after 2:any x", {"after": ["1", "2:any"]}, ["x"]),
        ("jobs --state running,done", {"in_state": "running,done"}, []),
        ("jobs --state /folder", {"state": "/folder"}, []),
        ("--state f jobs --state done", {"state": "f", "in_state": "done"}, []),
        ("--json nodes drain n1", {"json": True}, ["n1"]),
        ("config", {}, []),
    ],
)
def test_words_are_read_as_listed(words: str, values: dict[str, object], rest: list[str]) -> None:
    given = given_of(*words.split())
    assert given.values == values
    assert given.words == rest


def test_a_command_after_two_dashes_is_told_from_a_script() -> None:
    assert given_of("submit", "--", "true").separated
    assert not given_of("submit", "true", "--").separated


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("run --taskss 3 true", "there is no option --taskss; did you mean --tasks"),
        ("submit --mem=4G x", "there is no option --mem; here it is -m, for each task"),
        ("submit --dependency=afterok:1 x", "here it is --after JOB:ok"),
        ("submit -l gpu=1 x", "there is no option -l; here it is -m, -t, --gpus or --generic"),
        ("run -l true", "there is no option -l; here it is --label"),
        ("run -it bash", "there is no option -i; here it is --pty for a terminal"),
        ("run --ntasks-per-node 2 true", "here it is --tasks-per-node$"),
        ("run --hold true", "there is no option --hold; it is one of `ostler submit`$"),
        ("submit --pty -- sh", "there is no option --pty; it is one of `ostler run`$"),
        ("exec -n 2 12 true", "there is no option -n; it is one of `ostler run` and `ostler sub"),
        ("exec -j 12", "there is no option -j; see `ostler exec --help`"),
        ("alloc --ntasks 2", "there is no option --ntasks; here it is -n"),
        ("jobs --noheader", "here it is -q, for no heading"),
        ("run", "missing argument"),
        ("run -n", "requires an argument"),
        ("job 1 2", "takes ID, and got 1 2"),
        ("submit --hold=yes x", "does not take a value"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(words: str, sentence: str) -> None:
    command, _, rest = choose(words.split())
    assert command is not None
    with pytest.raises(Declined):
        read(command, rest)
    with pytest.raises(UsageError, match=sentence):
        parse(command, rest)


def test_no_rarer_command_begins_with_a_word_that_the_everyday_table_answers() -> None:
    assert not {name.split()[0] for name in COMMANDS.keys() - JOBS.keys()} & JOBS.keys()
    assert {command.group for command in JOBS.values()} == {"Jobs"}
    assert choose(["jobs", "drain"])[0] is JOBS["jobs"]


def test_every_flag_of_a_command_means_one_thing() -> None:
    for command in COMMANDS.values():
        flags = [flag for option in command.options for flag in option.flags]
        assert len(flags) == len(set(flags)), command.name
        names = [option.name for option in command.options]
        assert len(names) == len(set(names)), command.name


def test_every_command_has_a_function_and_an_example_that_parses() -> None:
    for command in COMMANDS.values():
        module, function = command.main.split(":")
        found = __import__(f"ostler.cli.{module}", fromlist=[function])
        assert callable(getattr(found, function))
        assert command.example.startswith(f"ostler {command.name}")


def test_labs_have_a_folder_of_their_own() -> None:
    """Both are told by --state, but another variable holds the one of a lab."""
    told = {
        name: next(o.help for o in COMMANDS[name].options if o.name == "state")
        for name in ("up", "lab up", "lab down")
    }
    assert "OSTLER_STATE" in told["up"]
    assert "OSTLER_LAB" in told["lab up"]
    assert "OSTLER_LAB" in told["lab down"]
