"""`ostler doctor`: what this host lacks, what that means, and how to get it."""

import os
import resource
import sqlite3
import sys
from collections.abc import Callable

from ostler.cli.ask import state_of
from ostler.cli.options import Given
from ostler.cli.output import json_text, say
from ostler.client.place import supervisor

Finding = tuple[str, bool, str, str]  # what, whether it is fine, what was found, what to do

_CGROUPS = "/sys/fs/cgroup"
_FEW_FILES = 1024
_SENDMAIL = "/usr/sbin/sendmail"  # as the attribute mail-command is shipped
_SQLITE = (3, 35, 0)  # RETURNING


def main(given: Given) -> int:
    """Print the findings; 1 if something that every machine needs is missing."""
    state = state_of(given)
    found = [check(state) for check in CHECKS]
    if given.flag("json"):
        keys = ("what", "ok", "found", "advice")
        say(json_text({"findings": [dict(zip(keys, f, strict=True)) for f in found]}))
    else:
        for what, fine, text, advice in found:
            say(f"{'ok  ' if fine else 'LACK'}  {what:<15}  {text}")
            if not fine and advice:
                say(f"      {'':<15}  {advice}")
    needed = {"python", "sqlite", "state folder"}
    return 1 if any(what in needed and not fine for what, fine, _, _ in found) else 0


def _python(_state: str) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return "python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer"


def _sqlite(_state: str) -> Finding:
    fine = sqlite3.sqlite_version_info >= _SQLITE
    return "sqlite", fine, sqlite3.sqlite_version, "use a Python built with SQLite 3.35 or newer"


def _folder(state: str) -> Finding:
    path = state
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(path)
    fine = os.access(path, os.W_OK | os.X_OK)
    text = f"{state}{', in use' if supervisor(state) else ''}"
    return "state folder", fine, text, "name one that you can write with --state DIR"


def _room(state: str) -> Finding:
    path = state
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(path)
    info = os.statvfs(path)
    free = info.f_bavail * info.f_frsize
    return "disk", free > 100 << 20, f"{free >> 20} MiB free there", "make room: 100 MiB at least"


def _freezer(_state: str) -> Finding:
    mounted = os.path.exists(f"{_CGROUPS}/cgroup.controllers") or os.path.exists(
        f"{_CGROUPS}/unified/cgroup.controllers"
    )
    text = "cgroup v2 is mounted" if mounted else "no cgroup v2: stray processes are hunted by pid"
    return "ending jobs", mounted, text, "mount it: mount -t cgroup2 none /sys/fs/cgroup"


def _memory(_state: str) -> Finding:
    own = _own_group()
    if own and os.access(own, os.W_OK):
        with open(f"{own}/cgroup.controllers", encoding="ascii") as file:
            controllers = file.read().split()
        if "memory" in controllers:
            return "memory limits", True, f"enforced by {own}", ""
    if os.access(f"{_CGROUPS}/memory", os.W_OK):
        return "memory limits", True, "enforced by cgroup v1", ""
    return (
        "memory limits",
        False,
        "by sampling only: a task may exceed its limit for some milliseconds",
        "systemd-run --user --scope -p Delegate=yes ostler up, or `up` as root",
    )


def _own_group() -> str:
    """Return the folder of this process's own group in cgroup v2; empty if there is none."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return ""
    root = _CGROUPS if os.path.exists(f"{_CGROUPS}/cgroup.controllers") else f"{_CGROUPS}/unified"
    paths = [root + path for number, names, path in lines if number == "0" and not names]
    return paths[0] if paths and os.path.exists(f"{paths[0]}/cgroup.controllers") else ""


def _cpus(_state: str) -> Finding:
    allowed = os.sched_getaffinity(0)
    total = os.cpu_count() or len(allowed)
    text = f"{len(allowed)} of {total} CPUs may be used from here"
    return "CPUs", len(allowed) == total, text, "start `ostler up` outside of taskset or a cpuset"


def _gpus(_state: str) -> Finding:
    names = sorted(n for n in _listed("/dev") if n.startswith("nvidia") and n[6:].isdigit())
    return "GPUs", True, ", ".join(names) or "none found", ""


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _files(_state: str) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fine = hard == resource.RLIM_INFINITY or hard >= _FEW_FILES
    return "open files", fine, f"{soft}, at most {hard}", "raise the limit: ulimit -Hn 65536"


def _user(_state: str) -> Finding:
    root = os.geteuid() == 0
    text = "root: can run jobs of all users with `up --system`" if root else "runs your jobs only"
    return "user", True, text, ""


def _mail(_state: str) -> Finding:
    found = os.access(_SENDMAIL, os.X_OK)
    text = (
        f"{_SENDMAIL} sends it" if found else f"no {_SENDMAIL}: `submit --mail` needs a mail host"
    )
    return "mail", found, text, "ostler config set smtp-host HOST, or install sendmail"


CHECKS: tuple[Callable[[str], Finding], ...] = (
    _python,
    _sqlite,
    _folder,
    _room,
    _user,
    _cpus,
    _gpus,
    _memory,
    _freezer,
    _files,
    _mail,
)
