"""A machine for all users of a host: who may do what is the kernel's word, not the client's."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import asdict

from ostler.client.link import Link
from ostler.client.spec import make_spec, new_request_id
from ostler.model.errors import OstlerError
from ostler.model.site_changes import Change, attribute
from ostler.wire.address import dial
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack, unpack
from tests.e2e.machine_kit import Host, eventually, kill_leftovers

NOBODY = pwd.getpwnam("nobody")
OTHER = pwd.getpwnam("daemon")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a system machine is root's to start")


@pytest.fixture(scope="module")
def system() -> Iterator[Host]:
    folder = Path(tempfile.mkdtemp(prefix="ostler-system-"))
    folder.chmod(0o755)
    host = Host(folder, "--system", "--cpus", "2")
    host.work.chmod(0o777)
    try:
        host.up()
        yield host
    finally:
        host.down()
        kill_leftovers(host.state)
        shutil.rmtree(folder)


def as_user(user: pwd.struct_passwd, work: Callable[[], Any]) -> Any:
    """Return what the work returns when another user does it; raise the OstlerError it meets."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([user.pw_gid])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            try:
                told = {"value": work()}
            except OstlerError as error:
                told = {"code": error.code, "message": str(error)}
            os.write(writable, msgspec.msgpack.encode(told))
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as file:
        told = msgspec.msgpack.decode(file.read())
    os.waitpid(child, 0)
    if "code" in told:
        raise OstlerError(f"{told['code']}: {told['message']}")
    return told["value"]


def ask(host: Host, user: pwd.struct_passwd, type_: str, **fields: object) -> Any:
    """Ask the manager as a user."""

    def work() -> object:
        link = Link(str(host.state))
        try:
            return link.call(type_, **fields)
        finally:
            link.close()

    return as_user(user, work)


def submit(host: Host, user: pwd.struct_passwd, *argv: bytes, **values: object) -> str:
    """Submit as a user; return the id."""
    given = {"argv": list(argv), "cwd": os.fsencode(host.work), "env": b"SECRET=s3cret\0"} | values
    spec, blobs = make_spec(given)
    body = ask(host, user, "submit", request_id=new_request_id(), spec=spec, blobs=blobs)
    return str(body["job"])


def test_tasks_run_as_their_owner_with_all_groups(system: Host) -> None:
    out = system.work / "id"
    ident = submit(system, NOBODY, b"/usr/bin/id", output=os.fsencode(out))
    ask(system, NOBODY, "wait", refs=[ident])
    assert f"uid={NOBODY.pw_uid}(nobody)" in out.read_text()
    assert out.stat().st_uid == NOBODY.pw_uid


def test_the_key_of_a_context_is_read_by_its_owner_alone(system: Host) -> None:
    gate = system.work / "gate"
    script = f"cp $OSTLER_CONTEXT {gate}.$OSTLER_RANK; until [ -e {gate} ]; do sleep 0.05; done"
    argv = (b"/bin/sh", b"-c", script.encode())
    ident = submit(system, NOBODY, *argv, request={"tasks": 2}, output=b"/dev/null")
    eventually("it has its key", lambda: Path(f"{gate}.1").exists() and Path(f"{gate}.0").exists())
    (row,) = ask(system, OTHER, "read", what="contexts")["contexts"]
    path = system.state / "node" / "contexts" / str(row["context"])
    with pytest.raises(OstlerError, match="Permission denied"):
        as_user(OTHER, lambda: read_as(path))
    assert '"key": "' in as_user(NOBODY, lambda: read_as(path))
    gate.touch()
    ask(system, NOBODY, "wait", refs=[ident])
    assert not path.exists()


def read_as(path: Path) -> str:
    """Return the text of a file; raise `OstlerError` with why it cannot be read."""
    try:
        return path.read_text()
    except OSError as error:
        raise OstlerError(str(error)) from None


def test_output_is_opened_as_the_owner(system: Host) -> None:
    ident = submit(system, NOBODY, b"/bin/true", output=b"/root/not-yours")
    row = ask(system, NOBODY, "wait", refs=[ident])["jobs"][0]
    assert row["result"] == "rejected"
    assert "/root/not-yours" in row["reason"]


@pytest.mark.parametrize("verb", ["cancel", "hold", "release", "suspend", "resume", "requeue"])
def test_nobody_acts_on_anothers_job(system: Host, verb: str) -> None:
    ident = submit(system, NOBODY, b"/bin/true", hold=True)
    row = ask(system, OTHER, "act", verb=verb, refs=[ident])["jobs"][0]
    assert (row["ok"], row["code"]) == (False, "refused")
    assert "belongs to nobody" in row["message"]
    ask(system, NOBODY, "act", verb="cancel", refs=[ident])


def test_another_user_sees_neither_command_nor_files(system: Host) -> None:
    ident = submit(system, NOBODY, b"/bin/echo", b"s3cret", hold=True)
    for what in ("job", "jobs"):
        told = repr(ask(system, OTHER, "read", what=what, ref=ident, options={"all": True}))
        assert "s3cret" not in told
    sql = "select * from jobs, elements"
    told = repr(ask(system, OTHER, "query", sql=sql))
    assert "s3cret" not in told
    waiting = Link(str(system.state))  # root, who may see it, and who asks first
    waits = waiting.send("wait", refs=[ident])
    ask(system, NOBODY, "act", verb="cancel", refs=[ident])
    assert "s3cret" in repr(waiting.result(waits))
    waiting.close()
    assert "s3cret" not in repr(ask(system, OTHER, "wait", refs=[ident]))
    assert "s3cret" in repr(ask(system, NOBODY, "read", what="job", ref=ident))


def test_the_search_path_of_a_job_is_told_to_its_owner_alone(system: Host) -> None:
    out = system.work / "not-found"
    env = b"PATH=/home/s3cret/bin\0"
    ident = submit(system, NOBODY, b"nosuch", env=env, output=os.fsencode(out))
    row = ask(system, NOBODY, "wait", refs=[ident])["jobs"][0]
    assert row["exit_status"] == 127
    for what in ("job", "history", "explain", "events"):
        assert "s3cret" not in repr(ask(system, OTHER, "read", what=what, ref=ident))
    assert "s3cret" not in repr(ask(system, OTHER, "query", sql="select * from jobs, events"))
    assert "PATH is /home/s3cret/bin" in out.read_text()


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        ("administer", {"changes": [asdict(attribute("max-cpus-per-user", "1"))]}),
        ("node_word", {"verb": "drain", "nodes": ["x"]}),
        ("shutdown", {"how": "kill"}),
        ("agent_hello", {"node": "x", "version": 1, "facts": {}, "boot_id": "b"}),
    ],
)
def test_what_is_an_administrators_is_refused(
    system: Host, type_: str, fields: dict[str, object]
) -> None:
    extra = {"incarnation": "i", "epoch": 0} if type_ == "agent_hello" else {}
    with pytest.raises(OstlerError, match="refused"):
        ask(system, NOBODY, type_, **fields, **extra)


def test_services_and_root_have_no_tasks_here(system: Host) -> None:
    with pytest.raises(OstlerError, match="not run on a system machine"):
        submit(system, OTHER, b"/bin/true")


def test_a_priority_above_the_usual_is_an_operators_to_give(system: Host) -> None:
    with pytest.raises(OstlerError, match="only an operator"):
        submit(system, NOBODY, b"/bin/true", priority=51)


def test_the_database_and_the_spool_are_closed_to_users(system: Host) -> None:
    def look() -> list[str]:
        found = []
        for path in (
            "ostler.db",
            "ostler.db-wal",
            "secret",
            "node/journal",
            "node/spool",
            "log/manager.log",
        ):
            full = system.state / path
            try:
                os.close(os.open(full, os.O_RDONLY))
                found.append(path)
            except OSError:
                continue
        return found

    assert as_user(NOBODY, look) == []


def test_a_task_may_not_signal_ours(system: Host) -> None:
    pids = " ".join(str(pid) for pid in system.pids().values())
    ident = submit(system, NOBODY, b"/bin/sh", b"-c", f"kill -9 {pids}".encode())
    ask(system, NOBODY, "wait", refs=[ident])
    assert {str(pid) for pid in system.pids().values()} == set(pids.split())


def _is_written(path: Path) -> bool:
    return path.exists() and bool(path.read_text())


def test_a_task_that_stops_its_starter_is_ended_all_the_same(system: Host) -> None:
    script = b"kill -STOP $PPID; echo stopped; exec sleep 1000"
    idents = []
    for limit in (1, 0):
        out = system.work / f"stopped-{limit}"
        told: dict[str, Any] = {"output": os.fsencode(out), "time_limit": limit, "grace": 1}
        idents.append(submit(system, NOBODY, b"/bin/sh", b"-c", script, **told))
        eventually("its starter is stopped", partial(_is_written, out))
    ask(system, NOBODY, "act", verb="cancel", refs=[idents[1]])
    rows = [ask(system, NOBODY, "wait", refs=[ident])["jobs"][0] for ident in idents]
    assert [row["result"] for row in rows] == ["timeout", "cancelled"]


def test_a_relay_serves_its_user_and_root_alone(system: Host) -> None:
    script = b"/usr/bin/id -u; read x"
    held = {"streams": {"label": True}, "kind": "run", "detach": True}
    ident = submit(system, NOBODY, b"/bin/sh", b"-c", script, **held)
    path = str(system.state / "node" / "streams" / ident)
    eventually("its relay listens", lambda: os.path.exists(path))

    def read() -> str:
        try:
            sock = dial(path)
        except OSError as error:
            return error.strerror or ""
        with sock:
            sock.settimeout(60)
            sock.sendall(frame(pack({"type": "attach", "version": 1, "window": None})))
            splitter, told = Splitter(), b""
            while not told.endswith(b"\n") and (data := sock.recv(4096)):
                messages = [unpack(payload) for payload in splitter.feed(data)]
                told += b"".join(m["data"] for m in messages if m["type"] == "out")
        return told.decode()

    assert as_user(OTHER, read) == "Permission denied"
    assert as_user(NOBODY, read) == f"0: {NOBODY.pw_uid}\n"
    assert read() == f"0: {NOBODY.pw_uid}\n"  # once more, as nobody has acknowledged it
    ask(system, NOBODY, "act", verb="cancel", refs=[ident])
    assert ask(system, NOBODY, "wait", refs=[ident])["jobs"][0]["result"] == "cancelled"


def test_handlers_are_nobody_and_users_are_told_by_a_process_of_their_own(system: Host) -> None:
    seen, mail = system.work / "handler", system.work / "mail"
    system.ostler("config", "set", "mail-command", f"/bin/sh -c 'id -u > {mail}'")
    command = f"command=/bin/sh -c 'id -un > {seen}'"
    system.ostler("handlers", "create", "ended", command, "event=job/ended")
    url = "http://127.0.0.1:1/s3cret"
    ident = submit(system, NOBODY, b"/bin/true", output=b"/dev/null", mail=["end"], notify=url)

    def handled() -> dict[str, Any]:
        rows = system.json("events", "handled")["handled"]
        return {r["handler"]: r["reason"] for r in rows if r["job"] == ident and r["ended_at"]}

    eventually("all is done", lambda: {"ended", "mail", "webhook"} <= set(handled()))
    system.ostler("handlers", "remove", "ended")
    assert (seen.read_text(), mail.read_text()) == ("nobody\n", f"{NOBODY.pw_uid}\n")
    why = "no address of 127.0.0.1 may be had (webhook-reach is private)"
    assert handled()["webhook"] == why
    events = ask(system, NOBODY, "read", what="history", ref=ident)["events"]
    assert f"no webhook tells of it: {why}" in [row["text"] for row in events]
    with pytest.raises(OstlerError, match="may not post events of class 'node'"):
        ask(system, NOBODY, "post", kind="node/status", text="gone")


def test_each_verb_needs_its_role_by_the_uid_that_asks(system: Host) -> None:
    """R-RMS-12 and the table of roles, through real uids: `daemon` first a user, then an operator."""
    ident = submit(system, NOBODY, b"/bin/true", hold=True, output=b"/dev/null")

    def acted(verb: str) -> str:
        return str(ask(system, OTHER, "act", verb=verb, refs=[ident], signal=1)["jobs"][0])

    def administer(user: pwd.struct_passwd, *changes: Change) -> None:
        told = [asdict(change) for change in changes]
        if user.pw_uid:
            ask(system, user, "administer", changes=told)
        else:
            root = Link(str(system.state))
            root.call("administer", changes=told)
            root.close()

    role = Change("set", "user", ("daemon",), {"role": "operator"})
    closed = Change("set", "access", ("main", "user", "daemon"), {"allow": True})
    for verb in ("cancel", "end", "hold", "release", "suspend", "resume", "requeue", "signal"):
        assert "belongs to nobody; daemon may not" in acted(verb)
    with pytest.raises(OstlerError, match="may not modify it"):
        ask(system, OTHER, "modify", ref=ident, changes={"priority": 1})
    with pytest.raises(OstlerError, match="daemon may not change users; an administrator may"):
        administer(OTHER, role)
    administer(pwd.getpwuid(0), role, closed)
    try:
        with pytest.raises(OstlerError, match="refused: nobody may not use partition main"):
            submit(system, NOBODY, b"/bin/true")
        members = Change("set", "access", ("main", "group", "nogroup"), {"allow": True})
        administer(pwd.getpwuid(0), members)
        submit(system, NOBODY, b"/bin/true", output=b"/dev/null")
        administer(pwd.getpwuid(0), Change("set", "access", members.key, {"running": 0}))
        with pytest.raises(OstlerError, match="group nogroup in partition main may run nothing"):
            submit(system, NOBODY, b"/bin/true")
        administer(pwd.getpwuid(0), Change("remove", "access", members.key))
        with pytest.raises(OstlerError, match="daemon may not change users"):
            administer(OTHER, role)
        ask(system, OTHER, "modify", ref=ident, changes={"priority": 60})
        assert "'ok': True" in acted("cancel")
    finally:
        administer(
            pwd.getpwuid(0),
            Change("remove", "user", role.key),
            Change("remove", "access", closed.key),
        )
