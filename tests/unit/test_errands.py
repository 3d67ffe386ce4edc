"""Errands as processes: what a program may take, where a webhook may go, as whom it is done."""

import asyncio
import os
import pwd
import smtplib
import subprocess
import sys
from glob import glob
from pathlib import Path

import msgspec
import pytest

from ostler.core.events import Event, Handled
from ostler.manager import mail, pen, smtp, webhook
from ostler.manager.errands import Errands
from ostler.manager.run_as import Place, environment, identity
from ostler.model.errand import Hook, Mail, Order, Outcome, Program
from ostler.model.errors import Refused
from ostler.wire.cgroup import find_bases

PERSONAL = Place("/state", system=False)
SYSTEM = Place("/state", system=True)


# What the process that runs errands does, in a process of its own: reads an order, tells its end.
ATTEMPT = """
import os, sys, msgspec
from ostler.manager import program
from ostler.manager.program import _descendants, run
from ostler.manager.run_as import Identity
from ostler.model.errand import Program
work = msgspec.json.decode(sys.stdin.buffer.read(), type=Program)
program.MEMORY = int(sys.argv[2])
own = Identity("me", os.geteuid(), os.getegid(), "/", None)
found = run(work, own, {"PATH": "/usr/bin:/bin"}, int(sys.argv[1]))
print(found.result, len(_descendants(os.getpid())))
"""


def attempt(work: Program, lifeline: int, memory: int = 1 << 30) -> tuple[str, int]:
    """Run a program; return the result, and how many processes are left of it."""
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPT, str(lifeline), str(memory)],
        input=msgspec.json.encode(work),
        stdout=subprocess.PIPE,
        pass_fds=(lifeline,),
        timeout=60,
        check=True,
    )
    result, left = done.stdout.split()
    return result.decode(), int(left)


def test_a_program_ends_with_whoever_wants_it_and_with_all_it_has_started(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    lifeline, ours = os.pipe()
    script = f"setsid sleep 1000 & setsid sh -c 'sleep 1000 & sleep 1000' & echo > {begun}; wait"
    with subprocess.Popen(["/bin/cat", begun], stdout=subprocess.DEVNULL, pass_fds=(ours,)):
        os.close(ours)  # only that process has it now, until the program has begun
        assert attempt(Program(("/bin/sh", "-c", script), "", 600.0), lifeline) == ("failed", 0)
    os.close(lifeline)


def test_an_order_that_is_too_long_fails_once_with_the_reason_and_costs_no_other() -> None:
    async def given() -> tuple[list[Event], int | None]:
        told: list[Event] = []
        errands = Errands(told.append, Path("/nowhere"), system=False)
        errands.give(Order(7, "page", 1, Program(("/bin/true",), "x" * (1 << 20), 1.0)))
        assert told == []  # the core is in the middle of a step
        await asyncio.sleep(0)
        return told, errands.pid

    [event], pid = asyncio.run(given())
    assert isinstance(event, Handled)
    assert (event.ran.first, event.ran.attempt) == (7, 1)
    assert event.ran.result is Outcome.HOPELESS, "it is not tried again"
    assert "too long: 10" in event.ran.reason
    assert pid is None, "no process was given it"


def test_a_program_reads_the_event_and_has_no_environment_of_ours(tmp_path: Path) -> None:
    lifeline, ours = os.pipe()
    work = Program(("/bin/sh", "-c", f"(cat; env) > {tmp_path}/out"), '{"event":1}\n', 60.0)
    assert attempt(work, lifeline) == ("success", 0)
    lines = (tmp_path / "out").read_text().splitlines()
    assert lines[0] == '{"event":1}'
    names = {line.partition("=")[0] for line in lines[1:]}
    assert names <= {"PATH", "PWD", "SHLVL", "_"}
    for fd in (lifeline, ours):
        os.close(fd)


def test_a_program_and_all_that_it_starts_have_so_much_memory_together() -> None:
    if not any(base.memory for base in find_bases()):
        pytest.skip("no memory control group may be used here")
    lifeline, ours = os.pipe()
    # Each of two processes has less than that, and both together have more.
    twins = """
import asyncio
import os
twin = os.fork()
held = b"x" * (60 << 20)
os._exit(os.waitpid(twin, 0)[1] and 1) if twin else signal.pause()
"""
    work = Program((sys.executable, "-c", f"import signal\n{twins}"), "", 60.0)
    assert attempt(work, lifeline, memory=96 << 20) == ("failed", 0)
    groups = [path for base in find_bases() for path in glob(f"{base.folder}/ostler-handler-*")]
    pids = [path.rpartition("-")[2] for path in groups]  # of other tests that run beside this one
    assert not [pid for pid in pids if not Path("/proc", pid).exists()]
    for fd in (lifeline, ours):
        os.close(fd)


def test_groups_of_attempts_that_died_are_removed_and_those_of_others_stay() -> None:
    bases = [base for base in find_bases() if base.memory]
    if not bases:
        pytest.skip("no memory control group may be used here")
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    paths = [Path(bases[0].folder, f"ostler-handler-{pid}") for pid in (gone.pid, os.getpid())]
    for path in paths:
        path.mkdir()
    pen.sweep()
    left = [path.exists() for path in paths]
    paths[1].rmdir()
    assert left == [False, True]


def test_a_handler_of_a_personal_machine_is_its_owner_and_of_a_system_machine_nobody() -> None:
    own = identity("", PERSONAL)
    assert (own.uid, own.groups) == (os.geteuid(), None)
    assert environment(own, PERSONAL)["OSTLER_STATE"] == "/state"
    with pytest.raises(Refused, match="there is no user 'no such'"):
        identity("no such", SYSTEM)
    if os.geteuid() == 0:
        assert identity("", SYSTEM).uid == pwd.getpwnam("nobody").pw_uid
    else:
        with pytest.raises(Refused, match="only root can run a handler as root"):
            identity("root", PERSONAL)


@pytest.mark.parametrize(
    ("address", "private", "public"),
    [
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("::ffff:127.0.0.1", False, False),
        ("0.0.0.0", False, False),
        ("169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("224.0.0.1", False, False),
        ("10.0.0.1", True, False),
        ("192.168.1.1", True, False),
        ("fd00::1", True, False),
        ("1.1.1.1", True, True),
        ("2606:4700::1111", True, True),
    ],
)
def test_a_webhook_has_the_addresses_that_it_may(address: str, private: bool, public: bool) -> None:  # noqa: FBT001
    found = [webhook.allowed(address, reach) for reach in ("any", "private", "public")]
    assert found == [True, private, public]


def test_a_webhook_to_where_it_may_not_go_is_hopeless_and_its_url_is_not_told() -> None:
    found = webhook.post(Hook(0, 0, "http://127.0.0.1:1/secret", "{}", "i", ""), "private")
    assert found.result is Outcome.HOPELESS
    assert "secret" not in found.reason


@pytest.mark.parametrize(("code", "result"), [(550, Outcome.HOPELESS), (451, Outcome.FAILED)])
def test_a_mail_that_is_refused_is_tried_again_if_that_may_help(
    code: int, result: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        def __init__(self, *_: object, **__: object) -> None:
            raise smtplib.SMTPResponseException(code, b"no")

    monkeypatch.setattr(smtplib, "SMTP", Refusing)
    work = Mail(0, 0, "ann", "s", "b\n", "i", "", "mx.example:25", "")
    found = mail.send(work, "ostler@here", b"", smtp.way(work))
    assert (found.result, found.reason) == (result, f"mx.example:25 refused the mail with {code}")


def test_a_mail_through_a_program_is_what_the_program_reads(tmp_path: Path) -> None:
    out = tmp_path / "mail"
    command = f"/bin/sh -c 'cat > {out}'"
    work = Mail(0, 0, "ann", "two\nlines", "body\n", "i", "", "", command)
    message = mail.compose(work, "ostler@here")
    assert mail.send(work, "ostler@here", message, None).result is Outcome.SUCCESS
    assert "Subject: two lines\n" in out.read_text()
    none = Mail(0, 0, "ann", "s", "b\n", "i", "", "", "")
    assert mail.send(none, "ostler@here", message, None).result is Outcome.HOPELESS
