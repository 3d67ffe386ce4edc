"""Control groups, where this host gives them: limits and kills that nothing can slip out of.

Version 2 freezes and kills whole groups, even where it has no controllers; memory is limited by
version 2 where its controller is enabled for us, else by version 1. Each starter has one group of
each kind and is a member itself, so that its children are born inside.
"""

import os
import time

OWN_MEMORY = 16 << 20  # bytes a starter needs inside its group
_REMOVE_TRIES = 100
_V1_LIMITS = ("memory.memsw.limit_in_bytes", "memory.limit_in_bytes")


class Base:
    """Where groups are made: a folder, and whether it limits memory and by which version.

    home: the group that this process is in by itself, and returns to when it leaves one of ours.
    """

    __slots__ = ("folder", "home", "memory", "version")

    def __init__(self, folder: str, version: int, *, memory: bool, home: str = "") -> None:
        self.folder = folder
        self.home = home or folder
        self.version = version
        self.memory = memory


def _mounts() -> dict[str, tuple[str, str]]:
    """Return (root, mount point) of version 2 under "" and of version 1 by controller."""
    found: dict[str, tuple[str, str]] = {}
    with open("/proc/self/mountinfo") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            fields, kind = left.split(), right.split()
            if kind[0] == "cgroup2":
                found.setdefault("", (fields[3], fields[4]))
            elif kind[0] == "cgroup":
                for option in kind[2].split(","):
                    found.setdefault(option, (fields[3], fields[4]))
    return found


def _own_folder(mounts: dict[str, tuple[str, str]], controller: str) -> str:
    """Return the folder of this process's group; empty if it cannot be seen from here."""
    if controller not in mounts:
        return ""
    root, point = mounts[controller]
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            if controller in names.split(",") and path.startswith(root.rstrip("/")):
                folder = point + path[len(root.rstrip("/")) :]
                return folder.rstrip("/") if os.path.isdir(folder) else ""
    return ""


def find_bases() -> list[Base]:
    """Return where this process may make groups: none, one or two of different versions."""
    try:
        mounts = _mounts()
        second, first = _own_folder(mounts, ""), _own_folder(mounts, "memory")
    except OSError:
        return []
    bases: list[Base] = []
    # A group with processes hands no controllers down; the one above may, where it is ours too.
    for folder in (second, os.path.dirname(second)):
        if _hands_memory_down(folder):
            bases.append(Base(folder, 2, memory=True, home=second))
            break
    if not bases and second and os.access(second, os.W_OK):
        bases.append(Base(second, 2, memory=False))
    if first and os.access(first, os.W_OK) and not any(base.memory for base in bases):
        bases.append(Base(first, 1, memory=True))
    return bases


def name_of(pid: int, start_time: int) -> str:
    """Return what the groups of a starter are called."""
    return f"ostler-{pid}-{start_time}"


def groups_of(pid: int, start_time: int) -> list[str]:
    """Return where a starter's groups are if it made any. By its pid and start time."""
    return [f"{base.folder}/{name_of(pid, start_time)}" for base in find_bases()]


def _hands_memory_down(folder: str) -> bool:
    control = f"{folder}/cgroup.subtree_control"
    return os.access(folder, os.W_OK) and "memory" in _text(control).split()


def shortcomings() -> list[str]:
    """Return what this host's control groups cannot give, one sentence each; empty: nothing."""
    bases = find_bases()
    told = []
    if not any(base.memory for base in bases):
        told.append(
            "no memory control group may be used here, so memory limits are kept by looking "
            "every 20 to 200 ms"
        )
    if not any(base.version > 1 for base in bases):
        told.append(
            "no control group of version 2 may be used here, so jobs are suspended and killed "
            "process by process"
        )
    return told


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _open(path: str, flags: int) -> int:
    """Return a descriptor, or -1 where this kernel has no such file."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError:
        return -1


def _write(fd: int, text: bytes) -> bool:
    try:
        return fd >= 0 and os.write(fd, text) > 0
    except OSError:
        return False


class Group:
    """One group. Its files are opened at once, so that a later change of user does not matter."""

    __slots__ = (
        "_away", "_counts", "_enter", "_freeze", "_kill", "_limits", "_peak", "base", "path",
    )  # fmt: skip

    def __init__(self, base: Base, name: str) -> None:
        """Make the group; raise OSError where that is not allowed."""
        self.base = base
        self.path = f"{base.folder}/{name}"
        os.mkdir(self.path, 0o755)
        try:
            self._enter = os.open(self.path + "/cgroup.procs", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            os.rmdir(self.path)
            raise
        self._away = _open(base.home + "/cgroup.procs", os.O_WRONLY)
        self._kill = _open(self.path + "/cgroup.kill", os.O_WRONLY)
        self._freeze = _open(self.path + "/cgroup.freeze", os.O_WRONLY)
        names: tuple[str, ...] = ()
        counts = peak = ""
        if base.memory and base.version == 1:
            names, counts = _V1_LIMITS, "memory.oom_control"
            peak = "memory.max_usage_in_bytes"
        elif base.memory:
            names, counts = ("memory.swap.max", "memory.max"), "memory.events"
            peak = "memory.peak"
        self._limits = [_open(f"{self.path}/{name}", os.O_WRONLY) for name in names]
        self._counts = _open(f"{self.path}/{counts}", os.O_RDONLY) if counts else -1
        self._peak = _open(f"{self.path}/{peak}", os.O_RDWR) if peak else -1

    def enter(self) -> bool:
        """Move this process in."""
        return _write(self._enter, b"0")

    def leave(self) -> bool:
        """Move this process to the group above."""
        return _write(self._away, b"0")

    def kill(self) -> bool:
        """SIGKILL everything in the group; False where the kernel has no such thing."""
        return _write(self._kill, b"1")

    def freeze(self, *, on: bool) -> bool:
        """Stop or continue everything in the group; False where the kernel has no such thing."""
        return _write(self._freeze, b"1" if on else b"0")

    def limit(self, size: int) -> bool:
        """Limit memory to `size` bytes (0: no limit) beside what the starter needs itself."""
        if not self._limits:
            return False
        extra, main = self._limits
        off = b"-1" if self.base.version == 1 else b"max"
        for fd in (extra, main):
            _write(fd, off)
        if not size:
            return True
        wanted = b"%d" % (size + OWN_MEMORY)
        done = _write(main, wanted)
        # Swap counts too: version 1 limits the sum of both, version 2 swap alone.
        _write(extra, wanted if self.base.version == 1 else b"0")
        _write(self._peak, b"0")
        return done

    def kills(self) -> int:
        """Return how many processes the kernel has killed here for lack of memory."""
        for line in _reread(self._counts).splitlines():
            name, _, value = line.partition(b" ")
            if name == b"oom_kill":
                return int(value)
        return 0

    def peak(self) -> int:
        """Return the most bytes in use so far; 0 where the kernel does not say."""
        text = _reread(self._peak).strip()
        return int(text) if text.isdigit() else 0

    def pids(self) -> list[int]:
        """Return the members."""
        return [int(word) for word in _reread(self._enter).split()]


def _reread(fd: int) -> bytes:
    """Return a control file's present contents; they are longer than a page only for members."""
    parts: list[bytes] = []
    try:
        while fd >= 0 and (part := os.pread(fd, 65536, sum(map(len, parts)))):
            parts.append(part)
    except OSError:
        return b""
    return b"".join(parts)


class Groups:
    """The groups of one starter, as one thing; empty where none may be made."""

    __slots__ = ("_inside", "_limited", "all")

    def __init__(self, bases: list[Base], name: str) -> None:
        self.all: list[Group] = []
        self._inside = False
        self._limited = False
        for base in bases:
            try:
                self.all.append(Group(base, name))
            except OSError:
                continue  # it is missing in `paths`, and the means without it are used

    @property
    def paths(self) -> list[str]:
        """Return the folders of the groups."""
        return [group.path for group in self.all]

    def enter(self) -> None:
        """Move this process in; a group that cannot be entered is given up."""
        if self._inside:
            return
        for group in self.all[:]:
            if not group.enter():
                self.all.remove(group)
                remove([group.path])
        self._inside = True

    def leave(self) -> bool:
        """Move this process out, so that freezing and killing do not meet it; say if it is."""
        if self._inside:
            # Kernels before 5.16 ask who writes, not who opened the file: a user may be held in.
            left = [group.leave() for group in self.all]
            self._inside = not all(left)
        return not self._inside

    def kill(self) -> bool:
        """SIGKILL all members but this process; False where only single kills are possible."""
        return self.leave() and any(group.kill() for group in self.all)

    def freeze(self, *, on: bool) -> bool:
        """Stop or continue all members but this process; False where that is not possible."""
        return self.leave() and any(group.freeze(on=on) for group in self.all)

    def limit(self, size: int) -> bool:
        """Limit the memory of all members together (0: no more); False where not possible."""
        if not size and not self._limited:
            return False
        self._limited = bool(size)
        return any(group.limit(size) for group in self.all)

    def kills(self) -> int:
        """Return how many members the kernel has killed for lack of memory."""
        return sum(group.kills() for group in self.all)

    def peak(self) -> int:
        """Return the most memory they had in use, the starter's own left out; 0: not known."""
        return max([0, *(group.peak() - OWN_MEMORY for group in self.all)])

    def members(self) -> list[int] | None:
        """Return the other members; None where there is no group to ask."""
        for group in self.all:
            own = os.getpid()
            return [pid for pid in group.pids() if pid != own]
        return None

    def remove(self) -> None:
        """Leave and remove them."""
        self.leave()
        remove(self.paths)


def members(paths: list[str]) -> list[int]:
    """Return the members of groups of a starter that is gone."""
    return sorted({int(word) for path in paths for word in _text(path + "/cgroup.procs").split()})


def write_control(paths: list[str], name: str, text: bytes) -> bool:
    """Write to a control file of each group; say whether one had it."""
    done = False
    for path in paths:
        fd = _open(f"{path}/{name}", os.O_WRONLY)
        if fd >= 0:
            done = _write(fd, text) or done
            os.close(fd)
    return done


def remove(paths: list[str]) -> bool:
    """Remove groups without members; False if one is not empty (yet)."""
    left = [path for path in paths if not _removed(path)]
    for _ in range(_REMOVE_TRIES if left else 0):
        # A member that was just reaped leaves its group a moment later.
        if members(left):
            break
        time.sleep(0.001)
        left = [path for path in left if not _removed(path)]
        if not left:
            break
    return not left


def _removed(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
