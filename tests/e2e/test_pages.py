"""What the pages tell people to type does what they say."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine_kit import kill_leftovers

ROOT = Path(__file__).resolve().parents[2]


def commands(page: str) -> str:
    """Return all shell blocks of a page as one script."""
    text = (ROOT / page).read_text()
    return "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    kill_leftovers(folder)


def type_all(script: str, state: Path) -> str:
    """Run a script in a shell of its own and return what it said."""
    path = f"{sys.prefix}/bin:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=state.parent,
        env=os.environ | {"OSTLER_STATE": str(state), "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_tutorial_can_be_typed_as_it_stands(state: Path) -> None:
    script = commands("docs/tutorials/first-job.md")
    told = type_all(script.replace("ostler run false;", "ostler run false ||"), state)
    assert "task 1 of 2\n" in told
    assert "it waits for job 3 to end" in told
    assert "3: success: all 11 elements succeeded\n4: success" in told
    assert "\n11\n" in told
    assert told.rstrip().endswith(f"still here\ndown: {state}")


def test_the_tour_of_the_readme_can_be_typed_as_it_stands(state: Path) -> None:
    tour = commands("README.md").partition("ostler up")
    (state.parent / "Makefile").write_text("hello:\n\t@echo made by ostler\n")
    (state.parent / "page.md").write_text("one two three\n")
    told = type_all("".join(tour[1:]), state)
    assert "made by ostler" in told
    assert "2: success" in told
    assert told.rstrip().endswith(f"down: {state}")


def test_the_page_on_workflows_can_be_typed_as_it_stands(state: Path) -> None:
    script = commands("docs/howto/workflows.md")
    told = type_all(f"ostler up -q --cpus 2\n{script}\nls part-* || true\nostler down -q", state)
    lines = told.splitlines()
    assert "count         4      1     1    0  dependency  split" in lines
    assert lines[lines.index("1  split") :][:4] == ["1  split", "2  count", "3  sum", "4  clean"]
    assert "└─ 2  count  success  4/4  all 4 elements succeeded" in lines
    assert "      └─ 4  clean  success  (any)  after 1  it succeeded" in lines
    assert "40" in lines
    assert "part-*" in lines[-1]


def test_the_python_of_its_page_runs_as_it_stands(state: Path) -> None:
    page = (ROOT / "docs/howto/python.md").read_text()
    first, second = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (state.parent / "page.py").write_text(first)
    (state.parent / "second.py").write_text(second)
    told = type_all(
        "ostler up -q --cpus 2\npython page.py\nostler logs 2\npython second.py\nostler down -q",
        state,
    )
    lines = told.splitlines()
    assert lines[0] == "1 success all 10 elements succeeded"
    assert lines[1] == "2 success it succeeded"
    assert lines[2].startswith("not taken: it asks for 100000 CPUs on one node (most: 2 on")
    assert lines[3] == "[{'result': 'success', 'jobs': 2}]"
    assert lines[4] == "10"
    assert lines[5:8] == ["1", "2", "3"]
    assert lines[8].startswith("job-submitted ")
    assert lines[-1].startswith("job-ended ")
