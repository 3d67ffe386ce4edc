"""Replays of a published trace come to the numbers of other simulators, to the second."""

import hashlib
import json
from pathlib import Path

import pytest

from ostler.cli.main import main
from ostler.sim import compiled

TRACE = Path(__file__).resolve().parents[1] / "data" / "KTH-SP2-1996-2.swf.gz"
# policy, rule: mean wait, mean bounded slowdown, utilisation
EXPECTED = {
    ("fcfs", "event"): "353776.409 6814.973310 0.68524",
    ("easy", "event"): "6836.872 92.576540 0.68561",
    ("easy-sjbf", "event"): "5904.077 69.405401 0.68561",
    ("conservative", "event"): "7310.551 88.997275 0.68561",
    ("easy", "batch"): "6834.587 92.687654 0.68561",
    ("easy-sjbf", "batch"): "5903.686 69.393636 0.68561",
    ("conservative", "batch"): "7316.239 88.966564 0.68561",
}
WAITS = {  # SHA-256 of the waits of all jobs
    ("easy", "event"): "6b8390b1f53ccfdb25201aa24df7b94f58df3ebfdef5c0c3ac1966cc56742d92",
    ("conservative", "event"): "a1c311b957c17dbb38fe0ef1b64b662592debabb29560dfbe6ac6b80a5a734d4",
}


@pytest.mark.parametrize(("policy", "rule"), EXPECTED)
def test_a_replay_gives_the_published_numbers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], policy: str, rule: str
) -> None:
    check(tmp_path, capfd, policy, rule)


@pytest.mark.parametrize("rule", ["event", "batch"])
def test_a_replay_without_the_compiled_form_gives_them_too(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rule: str,
) -> None:
    monkeypatch.setattr(compiled, "library", lambda: None)
    assert not check(tmp_path, capfd, "conservative", rule)


def check(tmp_path: Path, capfd: pytest.CaptureFixture[str], policy: str, rule: str) -> bool:
    """Compare; return whether the replay was made by the compiled form."""
    waits = tmp_path / "waits.csv"
    words = ["--policy", policy, "--rule", rule, "--per-job", str(waits)]
    assert main(["sim", "--json", *words, str(TRACE)]) == 0
    (run,) = json.loads(capfd.readouterr().out)["runs"]
    means = f"{run['mean_wait']:.3f} {run['mean_bounded_slowdown']:.6f}"
    assert f"{means} {run['utilisation']:.5f}" == EXPECTED[policy, rule]
    assert (run["jobs"], run["procs"], run["dropped"]) == (28_481, 100, {"run_time": 8})
    if (policy, rule) in WAITS:
        assert hashlib.sha256(waits.read_bytes()).hexdigest() == WAITS[policy, rule]
    return bool(run["compiled"])
