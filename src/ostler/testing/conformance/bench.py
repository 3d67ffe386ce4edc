"""What the suite has to know of a resource manager beside its driver: the author's part."""

import os
import pwd
import shlex
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ostler.drivers.contract import Driver
from ostler.model.foreign import Share, Start
from ostler.testing.conformance.finding import Skipped


class Bench:
    """A resource manager to try a driver on.

    As it stands it serves a driver whose resource manager runs jobs on this host, or on one that
    shares its folder. Override what is otherwise. What is to be done "if
    that can be done" raises `Skipped` here, and the cases that need it are skipped with that reason.
    """

    deadline = 10.0  # seconds for one call of the driver
    polls = 300  # looks at most until something that was ordered must be seen
    polling = 0.1  # seconds between two looks
    nap = 0.05  # seconds between two looks of a job, which waits for its end

    def __init__(
        self, make: Callable[[Mapping[str, str]], Driver], settings: Mapping[str, str] | None = None
    ) -> None:
        """Begin. make: the driver's class; settings: what it is told."""
        self._make, self.settings = make, dict(settings or {})
        self.folder = Path(tempfile.mkdtemp(prefix="ostler-check-"))
        self._removed = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def driver(self) -> Driver:
        """Return a new driver object, as after a restart."""
        return self._make(self.settings)

    def close(self) -> None:
        """Take away what this has made; jobs that still wait end by that."""
        self._removed()

    def pause(self) -> None:
        """Let the resource manager get on."""
        time.sleep(self.polling)

    # -- jobs --------------------------------------------------------------------------------

    def order(self, key: str, shares: Sequence[Share], job: str = "") -> Start:
        """Return the order for a job that goes on until `finish`. key: its token."""
        account = pwd.getpwuid(os.geteuid())
        return Start(
            key,
            tuple(shares),
            id=job,
            user=account.pw_name,
            uid=account.pw_uid,
            gid=account.pw_gid,
            argv=() if job else self.command(key),
            env=b"PATH=/usr/local/bin:/usr/bin:/bin\0",
            cwd=os.fsencode(self.folder),
            output=os.fsencode(self.folder / f"{key}.out"),
            name="check",
            time_limit=600,
            cpus_per_task=sum(share.cpus for share in shares) // sum(s.tasks for s in shares),
        )

    def command(self, key: str) -> tuple[bytes, ...]:
        """Return a command that says that it has begun, waits for `finish`, and ends as told.

        It ends by itself once the bench is closed.
        """
        folder = shlex.quote(str(self.folder))
        script = f"cd {folder} && echo $$ >>{key}.began; "
        script += f"while [ -d {folder} ] && [ ! -s {key}.end ]; do sleep {self.nap}; done; "
        return (b"/bin/sh", b"-c", f"{script}exit $(cat {key}.end)".encode())

    def begun(self, key: str) -> int:
        """Return how many times the job of a token has been started, whatever the driver says."""
        try:
            return len((self.folder / f"{key}.began").read_text().splitlines())
        except FileNotFoundError:
            return 0

    def said(self, key: str) -> str:
        """Return the last words that the job of a token has written."""
        try:
            return (self.folder / f"{key}.out").read_text(errors="replace").strip()[-200:]
        except OSError:
            return ""

    def finish(self, key: str, status: int) -> None:
        """Let the job of a token end with an exit status."""
        written = self.folder / f".{key}.end"
        written.write_text(f"{status}\n")
        written.rename(self.folder / f"{key}.end")

    def submit(self, key: str) -> str:
        """Submit a job of one CPU behind the driver's back, if that can be done.

        It waits until it is started by an order, or for good. Return its id.
        """
        raise Skipped(f"the bench cannot submit a job behind the driver's back, like {key}")

    def occupy(self, node: str, key: str) -> str:
        """Run a job of one CPU on a node behind the driver's back, if that can be done; return its id."""
        raise Skipped(f"the bench cannot run {key} on {node} behind the driver's back")

    # -- faults ------------------------------------------------------------------------------

    def down(self, node: str) -> None:
        """Make a node fail, if that can be done."""
        raise Skipped(f"the bench cannot make {node} fail")

    def up(self, node: str) -> None:
        """Take back what `down` did."""

    def away(self) -> AbstractContextManager[None]:
        """Keep the resource manager from answering, if that can be done."""
        raise Skipped("the bench cannot stop the resource manager")

    def forget(self, job: str) -> None:
        """Have the resource manager lose a job without a trace, if that can be done."""
        raise Skipped(f"the bench cannot make the resource manager lose job {job}")

    def reuse(self, job: str, key: str) -> None:
        """Submit a job that gets the id of one that has ended, if that can be done."""
        raise Skipped(f"the bench cannot have id {job} used again for {key}")

    def odd_job(self, job: str, word: str) -> None:
        """Have it tell a word for a job's state that no driver knows, if that can be done."""
        raise Skipped(f"the bench cannot give job {job} the state {word!r}")

    def odd_node(self, node: str, word: str) -> None:
        """Have it tell a word for a node's state that no driver knows, if that can be done."""
        raise Skipped(f"the bench cannot give node {node} the state {word!r}")

    def partial(self) -> AbstractContextManager[None]:
        """Have it list only a part of what there is, if that can be done."""
        raise Skipped("the bench cannot make the resource manager list only a part")
