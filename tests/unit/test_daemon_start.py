"""How daemons begin: quickly, and only as they are meant to be called."""

import subprocess
import sys

import pytest

from ostler.wire.words import state_folder


@pytest.mark.parametrize("daemon", ["manager", "agent"])
def test_a_daemon_loads_neither_tls_nor_numpy_and_whoever_needs_tls_later_gets_it(
    daemon: str,
) -> None:
    script = f"""
import sys
import ostler.{daemon}.__main__, ostler.{daemon}.daemon
print([name for name in ("ssl", "numpy", "argparse", "smtplib") if name in sys.modules])
import ssl
print(ssl.PROTOCOL_TLS_CLIENT.name)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "[]\nPROTOCOL_TLS_CLIENT\n", done.stderr


@pytest.mark.parametrize("words", ["", "--state", "--state a b", "--stat a"])
def test_a_daemon_that_is_not_told_its_folder_says_so(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        state_folder(["daemon", *words.split()])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "expected: --state STATE, the state folder of the machine\n"
    assert state_folder(["daemon", "--state", "/a"]) == "/a"
