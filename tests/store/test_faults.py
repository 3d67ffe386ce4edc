"""Disks fill up, files are cut and damaged: what was committed is there, or a sentence says why."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostler.model.errors import NotNow, OstlerError, Refused, StaleEpoch
from ostler.model.record import Blob
from ostler.store.sqlite.connection import connect
from ostler.store.sqlite.store import SqliteStore
from tests.store.builders import Held, a_job, an_allocation, an_event, ended, take

ROOT = Path(__file__).resolve().parents[2]
HEADER, FRAME = 32, 24 + 4096  # bytes of a WAL's header, and of each page in it


def copy_of(path: Path, into: Path) -> Path:
    """Return a copy of a database that is in use, as kill -9 would leave it."""
    into.mkdir(exist_ok=True)
    for name in (path.name, f"{path.name}-wal"):
        shutil.copy(path.with_name(name), into / name)
    return into / path.name


@pytest.fixture
def grown(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Commits of several shapes; the size of the WAL after each of them."""
    monkeypatch.setattr("ostler.store.sqlite.store.WAL_ROOM", 0)
    on_disk = Held(path)
    sizes = []
    for i in range(1, 7):
        big = [Blob(f"{i:064}", 1000, bytes(3000 * (i % 3)))]
        on_disk.commit(a_job(i), an_event(i), an_allocation(i, job=i), *big)
        sizes.append(on_disk.store.wal_bytes())
    yield sizes
    on_disk.store.close()


def cuts(sizes: list[int]) -> list[int]:
    """Return every frame's boundary, a byte to both sides, and places in head and middle."""
    boundaries = range(HEADER, sizes[-1] + 1, FRAME)
    near = {b + d for b in boundaries for d in (-1, 0, 1, 2000)}
    return sorted(c for c in {0, *near} if c <= sizes[-1])


def test_a_wal_cut_anywhere_holds_the_commits_before_the_cut_and_no_part_of_others(
    grown: list[int], path: Path, tmp_path: Path
) -> None:
    copy = copy_of(path, tmp_path / "whole")
    wal = copy.with_name(f"{copy.name}-wal").read_bytes()
    assert len(wal) == grown[-1]
    for number, cut in enumerate(cuts(grown)):
        # Whatever the disk gave back beyond the cut, it is no commit.
        beyond = bytes(len(wal) - cut), b"\xa5" * (len(wal) - cut)
        for rest in (b"", beyond[number % 2]):
            victim = copy_of(copy, tmp_path / "cut")
            left = wal[:cut] + rest
            victim.with_name(f"{copy.name}-wal").write_bytes(left)
            store = SqliteStore.open(str(victim))
            loaded = store.load()
            whole = sum(left[:size] == wal[:size] for size in grown)
            assert [job.id for job in loaded.jobs] == list(range(1, whole + 1)), cut
            assert [alloc.id for alloc in loaded.allocations] == list(range(1, whole + 1)), cut
            assert loaded.next_event == whole + 1
            blobs = [store.blob(f"{i:064}") is not None for i in range(1, 7)]
            assert blobs == [i <= whole for i in range(1, 7)]
            store.commit([a_job(99)], take(store, alive=False))
            store.close()
            shutil.rmtree(tmp_path / "cut")


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database of some hundred pages, with all of it in the one file."""
    path = tmp_path_factory.mktemp("used") / "ostler.db"
    held = Held(path)
    for i in range(1, 300, 3):
        held.commit(a_job(i), ended(a_job(i + 1)), an_event(i), an_allocation(i, job=i))
    held.store.close()
    return path.read_bytes()


def use(path: Path) -> None:
    """Do everything that a manager does with a database."""
    store = SqliteStore.open(str(path))
    try:
        store.commit([a_job(1), a_job(1000), an_event(1000)], take(store, alive=False))
        store.load()
        store.jobs()
        store.job(1)
        store.events(job=1)
        store.elements(1)
        store.accounting()
        store.checkpoint()
    finally:
        store.close()


# Headers of pages are where damage does most.
HOLES = st.tuples(
    st.integers(0, 10_000),
    st.integers(0, 12) | st.integers(0, 4000),
    st.binary(min_size=1, max_size=80),
)


@given(st.lists(HOLES, min_size=1, max_size=4))
def test_a_damaged_file_is_used_or_told_but_never_a_crash(
    used: bytes, tmp_path_factory: pytest.TempPathFactory, holes: list[tuple[int, int, bytes]]
) -> None:
    damaged = bytearray(used)
    for page, offset, junk in holes:
        at = page % (len(used) // 4096) * 4096 + offset
        damaged[at : at + len(junk)] = junk
    path = tmp_path_factory.mktemp("damaged") / "ostler.db"
    path.write_bytes(damaged)
    try:
        use(path)
    except OstlerError as error:
        # A page of roles that is damaged may tell that somebody else has them.
        named = str(path) in str(error) or isinstance(error, StaleEpoch)
        assert named
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda _: b"not a database" * 1000, "no database", id="another file"),
        pytest.param(lambda d: b"\0" * 100 + d[100:], "no database", id="its head is gone"),
        pytest.param(lambda d: d[: len(d) // 2], "damaged", id="its second half is gone"),
        pytest.param(lambda d: d[:4096] + b"\xff" * (len(d) - 4096), "damaged", id="overwritten"),
    ],
)
def test_a_file_that_is_no_use_is_told_with_what_to_do(
    used: bytes, path: Path, change: Callable[[bytes], bytes], words: str
) -> None:
    path.write_bytes(change(used))
    with pytest.raises(NotNow, match=words) as caught:
        use(path)
    assert str(path) in str(caught.value)
    assert "move it away" in caught.value.hint


def test_a_database_of_a_later_release_is_left_alone(path: Path) -> None:
    Held(path).store.close()
    conn = connect(str(path))
    conn.execute("PRAGMA user_version = 9999")
    conn.close()
    before = path.read_bytes()
    with pytest.raises(Refused, match="version 9999") as caught:
        SqliteStore.open(str(path))
    assert "release" in caught.value.hint
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE theirs (a)")
    conn.close()
    before = path.read_bytes()
    with pytest.raises(Refused, match="not one of Ostler's"):
        SqliteStore.open(str(path))
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotNow, match="No such file or directory"):
        SqliteStore.open(str(tmp_path / "none" / "ostler.db"))
    with pytest.raises(NotNow, match="Is a directory"):
        SqliteStore.open(str(tmp_path))


def test_a_full_disk_is_told_and_work_goes_on_when_there_is_room(on_disk: Held) -> None:
    on_disk.commit(a_job(1))
    (pages,) = on_disk.store._writer.execute("PRAGMA page_count").fetchone()
    on_disk.store._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(NotNow, match="is full") as caught:
        on_disk.commit(a_job(2), Blob("d", 1, bytes(100_000)))
    assert "free some space" in caught.value.hint
    assert [job.id for job in on_disk.store.load().jobs] == [1]
    on_disk.store._writer.execute("PRAGMA max_page_count = 1000000")
    on_disk.store.probe()
    on_disk.commit(a_job(2), Blob("d", 1, bytes(100_000)))


def test_a_probe_really_writes(on_disk: Held, path: Path) -> None:
    wal = Path(f"{path}-wal")
    before = wal.read_bytes()
    on_disk.store.probe()
    after = wal.read_bytes()
    changed = [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert changed[-1] - changed[0] < FRAME


def test_a_database_that_somebody_keeps_locked_is_told(
    on_disk: Held, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk.store._writer.execute("PRAGMA busy_timeout = 0")
    other = connect(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotNow, match="locked"):
        on_disk.commit(a_job())
    with pytest.raises(NotNow, match="locked"):
        on_disk.store.probe()
    other.execute("ROLLBACK")
    other.close()
    on_disk.store.probe()
    on_disk.commit(a_job())


@pytest.mark.parametrize("name", ["ostler.db", "ostler.db-wal"])
def test_a_file_that_is_moved_away_under_the_manager_is_told(
    on_disk: Held, path: Path, name: str
) -> None:
    """What was written then would be acknowledged, and gone after the next start."""
    on_disk.commit(a_job(1))
    path.with_name(name).rename(path.with_name("moved"))
    with pytest.raises(NotNow, match="moved or deleted"):
        on_disk.commit(a_job(2))
    with pytest.raises(NotNow, match="moved or deleted"):
        on_disk.store.probe()
    with pytest.raises(NotNow, match="moved or deleted"):
        on_disk.store.checkpoint()
    path.with_name("moved").rename(path.with_name(name))
    on_disk.store.probe()
    on_disk.commit(a_job(2))
    assert len(on_disk.store.load().jobs) == 2


FULL_DISK = """
import os, sys
from ostler.model.errors import NotNow
from ostler.model.record import Blob
from tests.store.builders import Held, a_job

folder = sys.argv[1]
held = Held(f"{folder}/ostler.db")
filler = f"{folder}/filler"
with open(filler, "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
kept = 0
try:
    while True:
        held.commit(a_job(kept + 1), Blob(f"{kept:064}", 1, bytes(10_000)))
        kept += 1
except NotNow as error:
    print(error)
for failing in (held.store.probe, lambda: held.commit(a_job(9999), Blob("e", 1, bytes(10_000)))):
    try:
        failing()
    except NotNow as error:
        print(error)
assert [job.id for job in held.store.load().jobs] == list(range(1, kept + 1)), kept
os.remove(filler)
held.store.probe()
held.commit(a_job(kept + 1), Blob("e", 1, bytes(10_000)))
held.store.checkpoint()
assert len(held.store.load().jobs) == kept + 1
held.store.close()
again = Held(f"{folder}/ostler.db")
assert len(again.store.load().jobs) == kept + 1
again.store.close()
print("went on")
"""

READ_ONLY = """
import subprocess, sys
from ostler.model.errors import NotNow
from ostler.store.sqlite.store import SqliteStore
from tests.store.builders import Held, a_job

folder = sys.argv[1]
held = Held(f"{folder}/ostler.db")
held.commit(a_job())
held.store.close()
subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
try:
    SqliteStore.open(f"{folder}/ostler.db")
except NotNow as error:
    print(error)
subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
again = Held(f"{folder}/ostler.db")
again.commit(a_job(2))
assert len(again.store.load().jobs) == 2
again.store.close()
print("went on")
"""


def on_small_disk(script: str, folder: Path) -> str:
    """Run a script on a file system of 2 MiB of its own, gone with the process."""
    mounted = f'mount -t tmpfs -o size=2m none "{folder}" && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted, "sh", sys.executable, "-c", script, str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    if done.returncode and ("unshare:" in done.stderr or "mount:" in done.stderr):
        pytest.skip(f"needs to mount a file system: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@needs_root
def test_a_disk_that_fills_up_loses_nothing_and_recovers(tmp_path: Path) -> None:
    told = on_small_disk(FULL_DISK, tmp_path)
    assert "is full; free some space" in told
    assert told.endswith("went on\n")


@needs_root
def test_a_read_only_disk_is_told_and_used_again_when_it_is_not(tmp_path: Path) -> None:
    told = on_small_disk(READ_ONLY, tmp_path)
    assert "cannot be opened for writing: Read-only file system; make the folder writable" in told
    assert told.endswith("went on\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root; the test above is")
def test_a_file_that_may_not_be_written_is_told(path: Path) -> None:
    Held(path).store.close()
    path.chmod(0o400)
    with pytest.raises(NotNow, match="Permission denied"):
        SqliteStore.open(str(path))
    path.chmod(0o600)
    path.parent.chmod(0o500)
    with pytest.raises(NotNow, match="make"):
        use(path)
    path.parent.chmod(0o700)
    use(path)
