"""Options at the head of a script: which lines count, how they are split, and who wins."""

import pytest

from ostler.cli.options import Given, read
from ostler.cli.script import with_options
from ostler.cli.table import COMMANDS
from ostler.model.errors import UsageError


def typed(*words: str) -> Given:
    return read(COMMANDS["submit"], [*words, "job.sh"])


def found(script: str, *words: str) -> dict[str, object]:
    return dict(with_options(typed(*words), "job.sh", script.encode()).values)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("#!/bin/sh\n#OSTLER -n 4\n", {"tasks": "4"}),
        ("#!/bin/sh\n\n# hello\n  #OSTLER --hold\n", {"hold": True}),
        ("#!/bin/sh\ntrue\n#OSTLER -n 4\n", {}),
        ("#!/bin/sh\n#OSTLERS -n 4\n#OSTLER\n", {}),
        ("#!/bin/sh\n#OSTLER -J 'a b' -o \"c d\" # why\n", {"name": "a b", "output": "c d"}),
        ("#!/bin/sh\n#OSTLER -J a\\ b\n", {"name": "a b"}),
        ("#!/bin/sh\n#OSTLER -n 4\n#OSTLER -n 5 -c 2\n", {"tasks": "5", "cpus": "2"}),
        ("#!/bin/sh\r\n#OSTLER -n 4\r\n", {"tasks": "4"}),
        ("#!/bin/sh\n#SBATCH -n 4 -c 3\n#OSTLER -n 5\n", {"tasks": "5", "cpus": "3"}),
        ("#!/bin/sh\n#OSTLER -n 5\n#SBATCH -n 4\n", {"tasks": "5"}),
    ],
)
def test_lines_at_the_head_are_options(script: str, expected: dict[str, object]) -> None:
    assert found(script) == expected


def test_the_command_line_wins() -> None:
    script = "#!/bin/sh\n#SBATCH -n 4 -d afterok:1\n#OSTLER -c 3 --env A=1\n"
    expected = {"tasks": "9", "cpus": "8", "after": ["2"], "env": ["B"]}
    assert found(script, "-n9", "-c8", "--after", "2", "--env", "B") == expected


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--tasky 3", "#OSTLER --tasky 3: there is no option --tasky; did you mean --tasks"),
        ("--mem 3G", "there is no option --mem; here it is -m, for each task"),
        ("-n", "or a value is missing"),
        ("-n 3 true", "no such option, or a value is missing"),
        ("--help", "no such option, or a value is missing"),
        ("-J 'open", "job.sh line 2: a quote ' is not closed"),
        ("--state /x", "--state cannot stand in a script"),
        ("--dry-run", "--dry-run cannot stand in a script"),
    ],
)
def test_a_wrong_line_is_an_error_that_names_it(line: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=r"job\.sh line 2") as error:
        found(f"#!/bin/sh\n#OSTLER {line}\n")
    assert sentence in str(error.value)


def test_bytes_that_are_no_text_are_kept() -> None:
    given = with_options(typed(), "job.sh", b"#!/bin/sh\n#OSTLER -o \xe9.out\n")
    assert given.values == {"output": "\udce9.out"}


def test_a_wrong_line_of_slurms_names_the_script() -> None:
    with pytest.raises(UsageError, match=r"^job\.sh line 2: #SBATCH --time=soon: 'soon'"):
        found("#!/bin/sh\n#SBATCH --time=soon\n")


NOT_SET = "are not set here; write at the head of the script: export"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "#SBATCH -a 0-9\necho $SLURM_JOB_ID\nwork ${SLURM_ARRAY_TASK_ID} # or $SLURM_X",
            [
                (
                    f"line 3: SLURM_JOB_ID, SLURM_ARRAY_TASK_ID, SLURM_X {NOT_SET} "
                    "SLURM_JOB_ID=$OSTLER_JOB SLURM_ARRAY_TASK_ID=$OSTLER_ELEMENT"
                )
            ],
        ),
        ("#SBATCH -c 2\nexport SLURM_PROCID=${SLURM_PROCID:-$OSTLER_RANK}\necho $SLURM_PROCID", []),
        (
            "#SBATCH -c 2\nsrun -l work\nsrun work",
            ["line 3: srun is a command of Slurm; leave it out"],
        ),
        (
            "#SBATCH -N2 --ntasks-per-node=2\nmake",
            [
                (
                    "asks for tasks: the script itself runs once for each of its 4 tasks; "
                    "with `-n 1` before its name it runs once"
                )
            ],
        ),
        ("#SBATCH -n 2\n#OSTLER -n 1\nmake", []),
        ("# no line for Slurm\nsrun $SLURM_JOB_ID", []),
    ],
)
def test_what_a_script_for_slurm_does_not_find_is_told(
    script: str, told: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    found(f"#!/bin/bash\n{script}\n")
    assert capfd.readouterr().err.splitlines() == [f"ostler: job.sh {line}" for line in told]
    found(f"#!/bin/bash\n{script}\n", "-n", "1")
    assert "tasks" not in capfd.readouterr().err


def test_a_script_in_another_language_is_told_the_names(capfd: pytest.CaptureFixture[str]) -> None:
    found("#!/usr/bin/env python3\n#SBATCH -a 0-9\nos.environ['SLURM_ARRAY_TASK_ID']\n")
    sentence = "line 3: SLURM_ARRAY_TASK_ID is not set here; what is: OSTLER_ELEMENT"
    assert capfd.readouterr().err == f"ostler: job.sh {sentence}\n"
