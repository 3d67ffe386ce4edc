"""Slurm's options in terms of ours."""

import pytest

from ostler.cli.sbatch import translate
from ostler.model.errors import UsageError


def values(*lines: str) -> dict[str, object]:
    found, warnings = translate([(i, line.split()) for i, line in enumerate(lines, 2)])
    assert warnings == []
    return dict(found)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-J fit", {"name": "fit"}),
        ("--job-name=fit", {"name": "fit"}),
        ("-n 4", {"tasks": "4"}),
        ("-n4", {"tasks": "4"}),
        ("--ntasks 4", {"tasks": "4"}),
        ("--ntasks=4 --cpus-per-task=2", {"tasks": "4", "cpus": "2"}),
        ("-c2", {"cpus": "2"}),
        ("-N 2 --ntasks-per-node=3", {"tasks": "6", "nodes": "2"}),
        ("-N 2", {"tasks": "2", "nodes": "2"}),
        ("--mem=4000", {"memory": str(4000 << 20)}),
        ("--mem=4G", {"memory": str(4 << 30)}),
        ("--mem=4G -n 4", {"memory": str(1 << 30), "tasks": "4"}),
        ("--mem=4G -n 4 -N 2", {"memory": str(2 << 30), "tasks": "4", "nodes": "2"}),
        ("--mem-per-cpu=100 -c 4", {"memory": str(400 << 20), "cpus": "4"}),
        ("-t 90", {"time": "5400s"}),
        ("--time=1:30", {"time": "90s"}),
        ("--time=1:30:00", {"time": "5400s"}),
        ("--time=2-12", {"time": f"{60 * 3600}s"}),
        ("--time=1-00:00:30", {"time": f"{24 * 3600 + 30}s"}),
        ("--time=UNLIMITED", {}),
        ("-p main -A proj", {"partition": "main", "project": "proj"}),
        ("-a 0-9%3", {"array": "0-9%3"}),
        ("-d afterok:1:2,afterany:3", {"after": ["1:ok", "2:ok", "3:any"]}),
        ("--dependency=afternotok:4", {"after": ["4:fail"]}),
        ("--dependency=aftercorr:4", {"after": ["4:each"]}),
        ("--gres=gpu:2", {"gpus": "2"}),
        ("--gres=gpu", {"gpus": "1"}),
        ("--gres=gpu:a100:4 -n 2", {"gpus": "2", "tasks": "2"}),
        ("--gres=none", {}),
        ("--gres=gpu:1,nic:2", {"gpus": "1", "generic": ["nic=2"]}),
        ("--gpus=4 -n 4", {"gpus": "1", "tasks": "4"}),
        ("-G a100:2", {"gpus": "2"}),
        ("--gpus-per-node=2 -N 2 -n 4", {"gpus": "1", "nodes": "2", "tasks": "4"}),
        ("--gpus-per-task=2", {"gpus": "2"}),
        ("-L matlab@flex:2,ansys", {"licences": "matlab:2,ansys"}),
        ("--licenses=matlab", {"licences": "matlab"}),
        ("-C a100,!old", {"constraint": "a100&!old"}),
        ("--constraint=[rack1*2&rack2*1]", {"constraint": "[rack1*2&rack2*1]"}),
        ("--exclusive --spread-job", {"exclusive": True, "spread": True}),
        ("--reservation=maint", {"reservation": "maint"}),
        ("-D /tmp", {"chdir": "/tmp"}),
        ("--begin=now+1hour", {"not_before": "+1h"}),
        ("--begin=now+60", {"not_before": "+60s"}),
        ("--begin=16:00", {"not_before": "16:00"}),
        ("-H --requeue", {"hold": True, "requeue": True}),
        ("--no-requeue --parsable -Q", {}),
        ("--signal=USR1", {"signal": "USR1@60"}),
        ("--signal=B:TERM@120", {"signal": "TERM@120"}),
        ("--signal=10@5", {"signal": "10@5"}),
        ("-w n[1-3] -x n2", {"nodelist": "n[1-3]", "exclude": "n2"}),
        ("--export=ALL", {"env": []}),
        ("--export=NONE", {"env": ["none"]}),
        ("--export=ALL,A=1", {"env": ["A=1"]}),
        ("--export=A,B=2", {"env": ["none", "A", "B=2"]}),
        ("-o out.%j", {"output": "out.%j"}),
        ("-o %x-%A_%a.%N.%t.%u.log -a 0-1", {"output": "%x-%j_%a.%n.%t.%u.log", "array": "0-1"}),
        ("-o out.%j -a 0-1", {"output": "out.%j_%a", "array": "0-1"}),
        ("-e err.%%j", {"error": "err.%%j"}),
        ("-i in.txt", {"input": "in.txt"}),
        ("--mail-type=END,FAIL", {"mail": "end,fail"}),
        ("--mail-type=FAIL,ARRAY_TASKS", {"mail": "fail,element"}),
        ("--mail-type=ALL --mail-user=a@b.org", {"mail": "begin,end,fail", "mail_to": "a@b.org"}),
        ("--mail-user a@b.org --mail-type NONE", {}),
    ],
)
def test_an_option_becomes_ours(line: str, expected: dict[str, object]) -> None:
    assert values(line) == expected


def test_options_of_several_lines_are_read_together_and_later_ones_win() -> None:
    assert values("-n 2", "--mem=4G", "-n 4") == {"tasks": "4", "memory": str(1 << 30)}


def test_an_unambiguous_beginning_of_an_option_is_enough() -> None:
    assert values("--job=fit --outp=o") == {"name": "fit", "output": "o"}


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("--mail-type=TIME_LIMIT", "line 2: #SBATCH --mail-type=TIME_LIMIT is not known here"),
        ("--exclusive=user", "line 2: #SBATCH --exclusive=user: taken as --exclusive"),
        ("--mcs-label x", "line 2: #SBATCH --mcs-label is not known here"),
        ("--mem=0", "line 2: #SBATCH --mem=0 asks for all memory; left out"),
        ("-N 2-4", "line 2: #SBATCH --nodes=2-4: taken as 2"),
        ("-o %s.out", "line 2: #SBATCH %s in %s.out is not known; kept"),
    ],
)
def test_what_is_left_out_is_told_with_its_line(line: str, warning: str) -> None:
    _, warnings = translate([(2, [*line.split(), "-n", "1"])])
    assert len(warnings) == 1
    assert warnings[0].startswith(warning)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("-d singleton", "line 2: #SBATCH --dependency=singleton: Ostler knows afterok"),
        ("-d after:3+5", "Ostler knows afterok, afterany, afternotok and"),
        ("-t soon", "line 2: #SBATCH --time=soon: 'soon' is not a duration"),
        ("-n 0", "'0' is not a number of at least 1"),
        ("--gres=gpu:x:y", None),
        ("--gpus=many", "'many' is not a number"),
        ("--mem=some", "not a size"),
        ("-d afterok:9?afterok:8", "'9?afterok' is not the id of a job"),
        ("-c two", "line 2: #SBATCH --cpus-per-task=two: 'two' is not a number of at least 1"),
        ("-J", "line 2: #SBATCH -J needs a value"),
        ("--mem=", "line 2: #SBATCH --mem= needs a value"),
    ],
)
def test_what_would_change_the_job_is_an_error(line: str, sentence: str | None) -> None:
    if sentence is None:
        assert values(line) == {"gpus": "1"}
        return
    with pytest.raises(UsageError, match="line 2") as error:
        values(line)
    assert sentence in str(error.value)
