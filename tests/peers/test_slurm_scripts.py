"""The same script under a real sbatch and under `ostler submit` leaves the same files behind."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.peers.slurm import Slurm
from bench.processes import program
from tests.e2e.machine_kit import Host

# Elements have numbers that no job of these tests reaches.
# What a script finds has other names, as the page on Slurm scripts says.
NAMES = "element=${SLURM_ARRAY_TASK_ID:-$OSTLER_ELEMENT}; rank=${SLURM_PROCID:-$OSTLER_RANK}"
ARGUMENTS = ["one", "two words"]


def script(body: str, *options: str) -> str:
    lines = [f"#SBATCH {option}" for option in options]
    return "\n".join(["#!/bin/bash", *lines, NAMES, body, ""])


SCRIPTS = {
    "default": script("echo out; echo err >&2"),
    "name": script("echo out; echo err >&2", "--job-name=seven", "-o %x.%j.out", "-e %x.%j.err"),
    "array": script("echo $element", "--array=1001-1007:3%2 --output=%A_%a.txt"),
    "list": script("echo $element > element.$element", "-a 1000,1004-1005", "-o /dev/null"),
    "folder": script("basename $(pwd) > folder", "-D below", "-o here-%j"),
    "input": script("cat; echo err >&2", "--input=words --output=all --error=all"),
    "percent": script("echo text", "-o a%%b.%j"),
    "export": script('echo "$CARRIED $SET [$LEFT]"', "--export=CARRIED,SET=2", "-o said"),
    "arguments": script('echo "$#" "$1" "$2"', "-o said"),
    "umask": script("umask", "-o said"),
    "options behind the first command": script("echo text\n#SBATCH -o second", "-o first"),
    "options that have no meaning for the result": script(
        "echo text", "-o said", "--parsable", "-t 1", "--no-requeue", "-c1 -n1"
    ),
    "the last of two options counts": script("echo text", "-o first", "-o second"),
    "rank": script("echo $rank", "-o said"),
}


def place(folder: Path, text: str) -> Path:
    (folder / "below").mkdir(parents=True)
    (folder / "words").write_text("some words\n", encoding="utf-8")
    path = folder / "script.sh"
    path.write_text(text, encoding="utf-8")
    return path


def left_in(folder: Path, job: str) -> dict[str, str]:
    """Return the files below a folder, the job's number and the system's name taken out."""
    found = {}
    for path in filter(Path.is_file, folder.rglob("*")):
        name = re.sub(rf"(?<![0-9]){job}(?![0-9])", "JOB", str(path.relative_to(folder)))
        name = name.replace("slurm-", "").replace("ostler-", "")
        found[name] = path.read_text(encoding="utf-8")
    return found


def by_slurm(slurm: Slurm, folder: Path, text: str) -> dict[str, str]:
    words = [program("sbatch"), "--parsable", "--wait", str(place(folder, text)), *ARGUMENTS]
    env = {**slurm.env, "CARRIED": "1", "LEFT": "1"}
    done = subprocess.run(
        words, cwd=folder, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return left_in(folder, done.stdout.strip())


def by_ostler(host: Host, folder: Path, text: str) -> dict[str, str]:
    host.work = folder
    path = place(folder, text)
    done = host.ostler("submit", str(path), *ARGUMENTS, CARRIED="1", LEFT="1")
    job = done.stdout.strip()
    host.ostler("wait", job)
    return left_in(folder, job)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_leaves_the_same_files_under_both(
    slurm: Slurm, host: Host, tmp_path: Path, name: str
) -> None:
    text = SCRIPTS[name]
    theirs = by_slurm(slurm, tmp_path / "slurm", text)
    ours = by_ostler(host, tmp_path / "ostler", text)
    assert ours == theirs
    assert len(ours) > 2, "it left nothing but what was there before"


@pytest.mark.parametrize("code", [0, 3, 137])
def test_waiting_for_a_script_gives_its_exit_status_under_both(
    slurm: Slurm, host: Host, tmp_path: Path, code: int
) -> None:
    path = tmp_path / "script.sh"
    path.write_text(f"#!/bin/sh\n#SBATCH -o /dev/null\nexit {code}\n", encoding="utf-8")
    words = [program("sbatch"), "--wait", "-Q", str(path)]
    theirs = subprocess.run(words, env=slurm.env, cwd=tmp_path, timeout=100, check=False)
    job = host.submit(str(path))
    host.ostler("wait", job, check=False)
    assert host.job(job)["exit_status"] == theirs.returncode == code


def test_what_waited_for_a_success_is_not_run_when_there_is_none(
    slurm: Slurm, host: Host, tmp_path: Path
) -> None:
    """Slurm lets such a job wait for ever unless told otherwise; ours ends and says why."""
    failing, after, go, ran = (tmp_path / name for name in ("failing", "after", "go", "ran"))
    head = "#!/bin/sh\n#SBATCH -o /dev/null\n"
    failing.write_text(f"{head}until [ -e {go} ]; do sleep 0.1; done; exit 1\n", encoding="utf-8")
    after.write_text(f"{head}touch {ran}\n", encoding="utf-8")
    theirs = [program("sbatch"), "--parsable"]
    given: dict[str, Any] = {"env": slurm.env, "cwd": tmp_path, "text": True, "timeout": 100}
    done = subprocess.run([*theirs, failing], stdout=subprocess.PIPE, check=True, **given)
    ours = host.submit(str(failing))
    more = [f"--dependency=afterok:{done.stdout.strip()}", "--kill-on-invalid-dep=yes"]
    subprocess.run([*theirs, *more, after], check=True, stdout=subprocess.PIPE, **given)
    waits = host.submit("--after", f"{ours}:ok", str(after))
    go.touch()
    host.ostler("wait", waits, check=False)
    slurm.wait(done.stdout.strip())
    assert host.job(waits)["result"] == "dependency"
    assert not ran.exists()
