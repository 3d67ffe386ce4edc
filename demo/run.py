"""Real work on one host, with the manager killed half-way.

Every module of the Python standard library is analysed, one element a module; a dependent job
adds up; a serial run in this process must come to the same, and no element may run twice.
DEMO_MODULES=100 makes it short.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from analyse import analyse, module_name
from totals import Totals, add_up, read_reports

HERE = Path(__file__).resolve().parent
OSTLER = HERE.parent / ".venv" / "bin" / "ostler"
SKIPPED = {"__pycache__", "idlelib", "lib2to3", "site-packages", "dist-packages", "test", "tests"}


def modules() -> list[Path]:
    """Return the files of the standard library, in a fixed order."""
    root = Path(os.__file__).parent
    found = sorted(p for p in root.rglob("*.py") if not SKIPPED & set(p.relative_to(root).parts))
    return found[: int(os.environ.get("DEMO_MODULES", len(found)))]


class Demo:
    """A machine of its own in a temporary folder, and the story that is told of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reports = folder / "reports"
        self.output = folder / "output"
        self.reports.mkdir()
        self.output.mkdir()
        self.base = [str(OSTLER), "--state", str(folder / "state")]

    def ask(self, *words: str) -> str:
        """Run one command and return what it printed; end the demo if it failed."""
        command = [*self.base, *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"demo: `ostler {shlex.join(words)}` ended with {done.returncode}")
        return done.stdout

    def show(self, *words: str, lines: int = 40) -> str:
        """Run one command before the eyes of the reader."""
        print(f"\n$ ostler {shlex.join(words)}", flush=True)
        text = self.ask(*words)
        printed = text.rstrip().splitlines()
        print("\n".join(printed[:lines]), flush=True)
        if len(printed) > lines:
            print(f"… and {len(printed) - lines} lines more")
        return text

    def submit(self, *words: str) -> str:
        """Submit a job and return its id."""
        return self.show("submit", *words).split()[-1]

    def manager(self) -> int:
        """Return the manager's process id."""
        return int(json.loads(self.ask("status", "--json"))["processes"]["manager"])

    def kill_manager(self) -> None:
        """Do what an administrator fears."""
        pid = self.manager()
        print(f"\n$ kill -9 {pid}   # the manager, in the middle of the work", flush=True)
        os.kill(pid, signal.SIGKILL)

    def await_reports(self, count: int, seconds: float) -> int:
        """Wait until `count` modules are done, and return how many are."""
        end = time.monotonic() + seconds
        while (done := len(list(self.reports.glob("*.json")))) < count and time.monotonic() < end:
            time.sleep(0.02)
        return done

    def work(self, files: list[Path]) -> Totals:
        """Analyse all files on the machine and return the totals that the machine found."""
        each = self.folder / "modules.txt"
        each.write_text("".join(f"{path}\n" for path in files), encoding="utf-8")
        python, output = sys.executable, str(self.output)
        analysis = self.submit(
            *("-J", "analyse", "--each", str(each), "-o", f"{output}/%a.out", "--"),
            *(python, str(HERE / "analyse.py"), str(self.reports)),
        )
        totals = self.submit(
            *("-J", "totals", "--after", f"{analysis}:ok", "-o", f"{output}/totals.json", "--"),
            *(python, str(HERE / "totals.py"), str(self.reports)),
        )
        self.show("explain", totals)
        self.await_reports(len(files) // 3, seconds=60)
        self.show("jobs")
        self.kill_manager()
        done = self.await_reports(0, seconds=0)
        print(f"{done} of {len(files)} modules are done; the elements that run go on", flush=True)
        self.show("wait", analysis, totals)
        print(f"\n# process {self.manager()} is the manager now")
        self.show("explain", totals)
        self.show("acct", lines=12)
        result: Totals = json.loads((self.output / "totals.json").read_text(encoding="utf-8"))
        return result


def tell(totals: Totals) -> None:
    """Print the totals for people."""
    imports = ", ".join(f"{name} {count}" for name, count in totals["most_imported"])
    print(
        f"\n{totals['modules']} modules, {totals['lines']} lines, {totals['functions']} functions, "
        f"{totals['classes']} classes\nimported most: {imports}\n"
        f"longest function: {totals['longest_function']}, {totals['longest_lines']} lines"
    )


def main() -> int:
    """Return 0 if the machine's result equals a serial run's."""
    began = time.monotonic()
    files = modules()
    with tempfile.TemporaryDirectory(prefix="ostler-demo-") as folder:
        demo = Demo(Path(folder))
        demo.show("up")
        try:
            totals = demo.work(files)
        except BaseException:
            demo.show("down", "--kill")
            raise
        demo.show("down")
        ran = (demo.reports / "ran").read_text(encoding="utf-8").splitlines()
        written = len(read_reports(demo.reports))
    tell(totals)
    serial = add_up(analyse(path, module_name(path)) for path in files)
    same = json.dumps(serial) == json.dumps(totals) and written == len(files)
    once = sorted(ran) == sorted(str(path) for path in files)
    print(
        f"\nThe machine's result {'equals' if same else 'DIFFERS FROM'} a serial run's, and every "
        f"element ran {'once' if once else 'NOT ONCE'}, though the manager was killed. "
        f"{time.monotonic() - began:.0f} s"
    )
    return 0 if same and once else 1


if __name__ == "__main__":
    sys.exit(main())
