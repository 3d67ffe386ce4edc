"""What the pages about the lab tell people to type does what they say."""

import re
from pathlib import Path

import pytest

from ostler.testing.lab import Lab
from tests.e2e.machine_kit import kill_leftovers
from tests.e2e.test_pages import ROOT, commands, type_all


def typed(script: str, folder: Path) -> str:
    """Type a script where the usual lab is below a folder; nothing of it is left afterwards."""
    try:
        start = f"unset OSTLER_STATE OSTLER_LAB; export XDG_STATE_HOME={folder}\n"
        return type_all(start + script, folder / "state")
    finally:
        kill_leftovers(folder)


def test_the_tutorial_of_the_lab_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    script = commands("docs/tutorials/ten-nodes.md")
    silent = "until ostler nodes | grep -q 'n05 *unreachable'; do sleep 0.1; done\n"
    told = typed(script.replace("sleep 3\n", silent).replace("sleep 2;", "sleep 0.5;"), tmp_path)
    lines = told.splitlines()
    assert "n03" in lines
    assert {f"rank {rank} is on n{rank + 1:02d}" for rank in range(10)} <= set(lines)
    assert re.search(r"n02 +no_agent", told)
    assert "3: success: all 200 elements succeeded" in lines
    assert sum(int(count) for count in re.findall(r"^ +(\d+) n\d\d$", told, re.MULTILINE)) == 200
    assert "4: lost: this node was started anew; nobody can tell how it ended" in lines
    assert "5: success: it succeeded" in lines
    assert lines[lines.index("attempt 1") + 1] == "attempt 2"
    assert re.search(r"n05 +unreachable", told)
    assert "done on n05" in lines
    assert "new disk" in told
    assert lines[-1] == f"down: {tmp_path}/ostler-lab"


def test_the_python_of_the_labs_page_runs_as_it_stands(tmp_path: Path) -> None:
    page = (ROOT / "docs/howto/lab.md").read_text()
    [program] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "page.py").write_text(program.replace("/tmp/my-lab", f"{tmp_path}/lab"))
    typed("python page.py", tmp_path)
    with pytest.raises(Exception, match="n02 is down"):
        Lab(f"{tmp_path}/lab").member("n02").order("look")


def test_the_page_on_watching_nodes_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    told = typed(
        f"mkdir {tmp_path}/at; cd {tmp_path}/at\n{commands('docs/howto/watch-nodes.md')}", tmp_path
    )
    assert re.search(r"n01 +running.*\nn02 +no_agent.*\nn03 +unreachable", told)
    assert re.search(r"\nmanager .* running\nagent +n01 +\d+ .* running\nagent +n02 ", told)
    assert "\n1\n" in told
    assert "\n60 (default)\n" in told
    assert "\n120 (poll-interval)\n" in told
    assert told.rstrip().endswith(f"down: {tmp_path}/ostler-lab")


def test_nodes_and_jobs_change_sides_as_their_page_says(tmp_path: Path) -> None:
    """R-RMS-11: partitions that share no node, and configurations, with real agents."""
    told = typed(commands("docs/howto/day-and-night.md"), tmp_path)
    lines = told.splitlines()
    assert "node n02 would be in two partitions of configuration default: batch and login" in told
    assert "configuration default -> night, if it were used\n  n03: main -> batch\n" in told
    before, _, after = told.partition("configuration default -> night\n")
    assert "batch has no nodes that would do in configuration default; night brings them" in before
    assert "  1 job on nodes that move will be waited for\n" in after
    assert re.search(r"n03 +running .* batch ", after)
    assert "2 are usable: n03 (it changes its partition: 1 allocation" in after
    assert lines.count("refused with 3") == 2
    assert "partition batch is down: no allocations run, no jobs wait" in lines
    assert "job 4 is pending (partition): partition batch is stopped" in lines
    assert "4: success: it succeeded" in lines
    assert lines[-1] == f"down: {tmp_path}/ostler-lab"


def test_the_commands_of_the_labs_page_can_be_typed_as_they_stand(tmp_path: Path) -> None:
    told = typed(commands("docs/howto/lab.md"), tmp_path)
    assert told.rstrip().endswith(f"down: {tmp_path}/ostler-lab")
