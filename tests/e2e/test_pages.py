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


def gated(script: str, sleep: str, gate: str, *, before: str) -> str:
    """Return the script with a sleep that ends just before a command is typed."""
    assert script.count(sleep) == script.count(before) == 1
    waiting = script.replace(sleep, f"while ! test -e {gate}; do sleep 0.02; done;")
    return waiting.replace(before, f"touch {gate}; {before}")


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
    script = commands("docs/tutorials/first-job.md").replace("run false;", "run false ||")
    # What takes its time on the page lasts here until it has been looked at.
    script = gated(script, "sleep 1;", "looked", before="ostler logs -f 3")
    script = gated(script, "sleep 3;", "killed", before="ostler wait 8")
    told = type_all(script, state)
    assert "task 1 of 2\n" in told
    assert "it waits for job 3 to end" in told
    assert "3_10: 110: 2 5 11\n" in told
    assert "3: success: all 11 elements succeeded\n4: success" in told
    assert "\n11\n" in told
    assert "5: success: it succeeded\n1 7\n2 14\n3 21\n" in told
    assert (
        "6: failed: 1 of 4 elements did not succeed: 1 failed; `ostler explain 6` says why\n"
        in told
    )
    assert "6: success: all 4 elements succeeded\n" in told
    assert told.rstrip().endswith(f"still here\ndown: {state}")


def test_the_tour_of_the_readme_can_be_typed_as_it_stands(state: Path) -> None:
    tour = commands("README.md").partition("ostler up")
    (state.parent / "Makefile").write_text("hello:\n\t@echo made by ostler\n")
    (state.parent / "page.md").write_text("one two three\n")
    told = type_all("".join(tour[1:]), state)
    assert "made by ostler" in told
    assert "2: success" in told
    assert told.rstrip().endswith(f"down: {state}")


def test_the_page_on_tasks_can_be_typed_as_it_stands(state: Path) -> None:
    script = commands("docs/howto/tasks.md")
    ended = "ostler wait 3\ncat out-?\nostler down -q"
    told = type_all(f"ostler up -q --cpus 4\n{script}\n{ended}", state).splitlines()
    assert {f"task {n} of 4 on CPU {n}" for n in range(4)} <= set(told)
    bound = "ostler: rank 1 on "
    assert [line.partition(": CPUs")[2] for line in told if line.startswith(bound)] == [
        " 2,3, memory without a limit"
    ]
    assert "ended with 3" in told
    written = told[told.index("3: success: it succeeded") + 1 :]
    assert written[:4] == ["0", "1", "2", "3"]


def test_the_page_on_prologs_can_be_typed_as_it_stands(state: Path) -> None:
    told = type_all(commands("docs/howto/prolog.md"), state)
    assert told.index("work\n") < told.index("line='prolog of job 1")
    assert "line='epilog of job 1" in told
    assert "exited with status 3: disk is gone" in told
    assert "context/failed" in told
    assert "2: success" in told


def test_a_job_goes_on_from_its_checkpoint_as_the_page_says(state: Path) -> None:
    """R-MAU-16: stopped at 550 and restarted it goes on at 500, and each number is there once."""
    told = type_all(commands("docs/howto/checkpoint.md"), state)
    assert "1: success" in told
    assert told.splitlines()[-2:] == ["1000", "1000"]
    numbers = (state.parent / "numbers").read_text().split()
    assert numbers == [str(n) for n in range(1, 1001)]


def test_the_page_on_resource_managers_can_be_typed_as_it_stands(state: Path) -> None:
    """R-MAU-19: an iteration has four loads, and what a driver does not have is skipped."""
    told = type_all(commands("docs/howto/other-resource-managers.md"), state)
    assert "hall/local" in told
    assert "from the hall\n" in told
    assert re.search(r"^rm +hall$", told, re.MULTILINE)
    assert re.search(r"^both, as a load ", told, re.MULTILINE)
    assert re.search(
        r"^hall +\S+ +\d+ ms +skipped +\d+ ms +skipped +\d+ ms .* (event|time)", told, re.MULTILINE
    )
    assert "removed rm hall" in told


def test_the_page_on_distrust_asks_a_table_that_there_is(state: Path) -> None:
    told = type_all(commands("docs/explanation/distrust.md"), state)
    assert told.splitlines()[0].split() == ["kind", "object", "before", "after", "done"]


def test_the_page_on_schedulers_can_be_typed_as_it_stands(state: Path) -> None:
    page = "docs/howto/write-a-scheduler.md"
    told = type_all(commands(page), state)
    assert "scheduler shortest plans partition main and says: no node has 2 CPUs free" in told
    started = dict(re.findall(r"^(\d) +(\d\d:\d\d:\d\d)$", told, re.MULTILINE))
    assert started["1"] <= started["3"] < started["2"]
    assert re.search(r"^shortest +shadow", told, re.MULTILINE)
    assert "on the emptiest node\n" in told
    assert re.search(r"^emptiest +plans +main +- +[1-9]", told, re.MULTILINE)
    (shown,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
    assert (ROOT / "src/ostler/examples/emptiest.py").read_text().endswith(shown)


def test_the_page_on_workflows_can_be_typed_as_it_stands(state: Path) -> None:
    script = commands("docs/howto/workflows.md")
    told = type_all(f"ostler up -q --cpus 2\n{script}\nls part-* || true\nostler down -q", state)
    lines = told.splitlines()
    assert "count         4      1     1    0  dependency  split" in lines
    assert lines[lines.index("1  split") :][:4] == ["1  split", "2  count", "3  sum", "4  clean"]
    assert "└─ 2  count  success  4/4  all 4 elements succeeded" in lines
    assert "      └─ 4  clean  success  (any)  after 1  it succeeded" in lines
    assert "40" in lines
    assert "6: dependency: 1 of 10 elements did not succeed: 1 dependency" in lines
    assert "part-*" in lines[-1]


def test_steps_run_in_an_allocation_as_their_page_says(state: Path) -> None:
    told = type_all(f"ostler up -q --cpus 2\n{commands('docs/howto/hold.md')}ostler down -q", state)
    assert "job 1 holds 2 CPUs" in told
    assert "step 0 of job 1\n" in told
    assert "inside job 2\n" in told
    assert [line.split()[2] for line in told.splitlines() if line.startswith("1.")] == [
        "success"
    ] * 3


def test_what_the_page_on_waiting_says_would_help_does_help(state: Path) -> None:
    script = commands("docs/howto/why-does-my-job-wait.md")
    told = type_all(f"ostler up -q --cpus 4\n{script}ostler down -q", state)
    assert "job 2 is pending (resources): it needs 4 CPUs on one node" in told
    assert "job 3 is pending (queue): job 2 asks for the same and is ahead of it" in told
    assert "job 4 is pending (behind): it would fit now, but would delay job 2" in told
    assert "would let it backfill" in told
    assert "job 4: it would start now on " in told
    assert "job 2: it would start now on " in told
    assert (
        "such a job: it would start in 2h 29m" in told
        or "such a job: it would start in 2h 30m" in told
    )
    assert "job 3: it would start in " in told
    assert "sooner than as it is" in told
    assert "4: success: it succeeded" in told
    assert told.rstrip().endswith("3: success: it succeeded") or "3: success" in told


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
    assert lines[8].startswith("job/submitted ")
    assert lines[-1].startswith("job/ended ")


def test_a_script_of_slurm_runs_as_its_page_says(state: Path) -> None:
    told = type_all("ostler up -q --cpus 2\n" + commands("docs/howto/from-slurm.md"), state)
    assert "time_limit_seconds  10m\n" in told
    assert "1: success: all 4 elements succeeded\nelement 2\n" in told
    assert "name                sweep\n" in told


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("from-hyperqueue", "1: success: all 3 elements succeeded\n20\n22\n24\n"),
        ("from-grid-engine", "1: success: all 3 elements succeeded\ntask 1\ntask 2\ntask 3\n"),
        ("from-cron-and-nohup", "2: success: all 2 elements succeeded\n2 a.txt\n3 b.txt\n"),
        ("events", "no event: 5\n"),
        ("handlers", "user/fire about hall: there is smoke\n"),
        ("accounting", "node,count(*)\n"),
    ],
)
def test_a_how_to_can_be_typed_as_it_stands(state: Path, page: str, told: str) -> None:
    (state.parent / "a.txt").write_text("one two\n")
    (state.parent / "b.txt").write_text("one two three\n")
    script = commands(f"docs/howto/{page}.md")
    if "ostler up" not in script:
        script = f"ostler up -q --cpus 2\n{script}\nostler down -q --kill\n"
    assert told in type_all(script, state)


def test_a_long_array_runs_as_its_page_says(state: Path) -> None:
    script = commands("docs/howto/arrays.md")
    short = script.replace("--array 0-9999 ", "--array 0-999 ").replace("% 1000 ", "% 100 ")
    told = type_all(f"ostler up -q --cpus 2\n{short}\nostler down -q --kill\n", state)
    assert script != short
    assert "1: failed: 10 of 1000 elements did not succeed: 10 failed; `ostler explain 1`" in told


def test_nodes_are_chosen_as_the_page_says(state: Path) -> None:
    told = type_all(commands("docs/howto/choose-nodes.md"), state)
    assert "on a node with an A100\n" in told
    assert (
        "ostler: refused: it asks for nodes with h100, and no node that it may use has the feature"
        " h100 (features there: a100, ib)\nrefused with 3\n"
    ) in told
    assert re.search(r"^\S+: a100, h100$\n^\S+: a100, ib$", told, re.MULTILINE)
    assert "it needs 1 of licence matlab, and none is free; it waits for job 3 to end" in told


def test_stop_and_restart_does_what_its_page_says(state: Path) -> None:
    script = commands("docs/howto/stop-and-restart.md")
    assert "pip install --upgrade ostler\n" in script
    script = script.replace("pip install --upgrade ostler\n", "test ! -e gate; touch gate\n")
    before = (
        "ostler up --cpus 2\nostler submit -- sh -c 'while [ ! -e gate ]; do sleep 0.05; done'\n"
    )
    told = type_all(f"{before}{script}ostler wait 1\nostler down\n", state)
    assert "1: success: it succeeded\n" in told
    assert told.count("2 CPUs") == 2


def test_durability_is_as_its_page_says(state: Path) -> None:
    script = commands("docs/explanation/durability.md").replace("sleep 0.05", "sleep 0.02")
    told = type_all(script, state)
    assert "1: success: all 100 elements succeeded\n" in told
    assert re.search(r"^success +100 +1$", told, re.MULTILINE)


def test_a_trace_is_replayed_as_its_page_says(state: Path) -> None:
    told = type_all(commands("docs/howto/replay-a-trace.md"), state)
    lines = told.splitlines()
    assert lines[0].startswith("made.swf: 2000 jobs on 64 processors of an imagined machine")
    policies = [line.split()[0] for line in lines[4:9]]
    assert policies == ["POLICY", "fcfs", "easy", "easy-sjbf", "conservative"]
    assert lines[-3] == "job,wait"
    assert (state.parent / "made.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (state.parent / "made.svg").read_text()


def test_decisions_are_replayed_as_their_page_says(state: Path) -> None:
    told = type_all(commands("docs/howto/replay-decisions.md"), state)
    assert re.search(r"/decisions: \d+ decisions, 1 start; every plan is the same", told)
    assert "fcfs: would have started the same jobs at each decision\n" in told
    assert "conservative: would have started the same jobs at each decision\n" in told


ELSEWHERE = {
    "docs/tutorials/ten-nodes.md": "tests/e2e/lab/test_lab_pages.py",
    "docs/howto/watch-nodes.md": "tests/e2e/lab/test_lab_pages.py",
    "docs/howto/lab.md": "tests/e2e/lab/test_lab_pages.py",
    "docs/howto/maui.md": "tests/e2e/lab/wiki_planner.py",
    "docs/howto/day-and-night.md": "tests/e2e/lab/test_lab_pages.py",
    "docs/reference/cli.md": "tests/unit/test_cli_options.py",
    "docs/howto/measure.md": ".ci/run",
    "docs/howto/soak.md": ".ci/run",
    "CONTRIBUTING.md": ".ci/run",
}  # pages whose commands are typed by another test, or are those of CI itself


def test_the_commands_of_every_page_are_typed_by_a_test() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    own = Path(__file__).read_text()
    for page in pages:
        name = str(page.relative_to(ROOT))
        if not re.search(r"^```(?:sh|bash|console)", page.read_text(), re.MULTILINE):
            continue
        if name in ELSEWHERE:
            assert (ROOT / ELSEWHERE[name]).exists()
        else:
            assert name in own or f'("{page.stem}"' in own, f"nobody types the commands of {name}"


def test_the_tutorial_for_python_can_be_typed_as_it_stands(state: Path) -> None:
    page = (ROOT / "docs/tutorials/python.md").read_text()
    for name, program in re.findall(
        r"^```python (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    ):
        (state.parent / name).write_text(program)
    told = type_all(commands("docs/tutorials/python.md"), state)
    assert re.search(r"^pi is about 3\.1[34]\d\d$", told, re.MULTILINE)
    assert told.splitlines().count("2262") == 2
    assert "raised there, caught here: invalid literal for int()" in told
    assert re.search(
        r"^its worker, \d+_0, ended as failed: it exited with status 3$", told, re.MULTILINE
    )
    assert "and the next call: 1\n" in told
    assert re.search(r"CPU.*\n1024\n", told)


def test_streams_go_where_their_page_says(state: Path) -> None:
    told = type_all(
        f"ostler up -q --cpus 4\n{commands('docs/howto/streams.md')}ostler down -q", state
    )
    lines = told.splitlines()
    assert lines[:5] == [*(f"{n}: I have rank {n}" for n in range(3)), "HELLO", "HELLO"]
    assert lines[5].startswith("/dev/pts/")
    assert lines[6:] == ["begun", "done"]


def test_the_page_for_administrators_can_be_typed_as_it_stands(state: Path) -> None:
    script = commands("docs/howto/administer.md")
    told = type_all(f"ostler up -q --cpus 4\n{script}\nostler down -q", state)
    difference = "+ partition night: time_limit 4h, policy conservative\n"
    assert f"{difference}{difference}nothing differs\n" in told
    assert "root created access batch user ann: allow true" in told


def test_the_page_on_who_goes_first_can_be_typed_as_it_stands(state: Path) -> None:
    script = commands("docs/howto/order.md")
    told = type_all(f"ostler up -q --cpus 1\n{script}\nostler down -q --kill", state)
    assert "job 2 asks for the same and is ahead of it" in told
    assert "job 3 asks for the same and is ahead of it" in told.partition("3: boost 10\n")[2]
    assert "created partition night: policy fcfs\n" in told


def test_the_page_on_maintenance_can_be_typed_as_it_stands(state: Path) -> None:
    script = commands("docs/howto/maintenance.md")
    told = type_all(f"ostler up -q --cpus 1\n{script}\nostler down -q --kill", state)
    assert "2: success: it succeeded\n" in told
    assert "nodes that would do are reserved (disks), or will be before it ends" in told
    assert "days once -> sat,sun" in told or "changed reservation disks" in told
    assert "3: success: it succeeded\n" in told


def test_the_page_on_giving_way_and_turns_can_be_typed_as_it_stands(state: Path) -> None:
    script = commands("docs/howto/share-in-turns.md")
    told = type_all(f"ostler up -q --cpus 1\n{script}\nostler down -q --kill", state)
    assert "it gave way to job 2 and goes on by itself" in told


def test_a_driver_is_written_as_the_tutorial_says(state: Path) -> None:
    """R-MAU-6, R-MAU-8: `ostler rm check` passes what `ostler rm new` has written."""
    page = "docs/tutorials/new-resource-manager.md"
    told = type_all(commands(page), state)
    checked = re.search(r"^hall: (\d+) passed, 0 failed, \d+ skipped$", told, re.MULTILINE)
    assert checked
    assert int(checked[1]) >= 34
    assert (
        "failed   lists-nothing-while-nobody-answers: list_nodes answered while the resource manager"
        " is away; expected Trouble\nhall: 0 passed, 1 failed, 0 skipped\nthat is 1\n"
    ) in told
    assert "1: success: it succeeded\nI am in the hall\n" in told
    assert re.search(r"^hall/hall +running", told, re.MULTILINE)
    assert "  verbs: list_nodes, list_jobs, start, cancel\n" in told
    assert len((state.parent / "hall.py").read_text().splitlines()) <= 120
    shown = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
    driver = (ROOT / "src/ostler/drivers/local.py").read_text()
    assert [block for block in shown if block not in driver and "pytest" not in block] == []
