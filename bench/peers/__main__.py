"""Install the peers that are missing: `make bench-peers`. Debian's packages take root."""

import os
import shutil
import subprocess
import sys

from bench.peers import dask, hq
from bench.processes import program

PACKAGES = {
    "slurmctld": "slurm-wlm",
    "munged": "munge",
    "parallel": "parallel",
    "sge_qmaster": "gridengine-master",
    "sge_execd": "gridengine-exec",
    "qsub": "gridengine-client",
}
# Without this answer the package makes a cell of its own, and asks about it.
ANSWERS = "gridengine-common shared/gridengineconfig boolean false\n"


def main() -> None:
    """Install; end with what failed."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/lib/gridengine"
    wanted = [name for known, name in PACKAGES.items() if not shutil.which(known, path=path)]
    if wanted:
        run("apt-get", "update", "-qq")
        answers = [program("debconf-set-selections")]
        subprocess.run(answers, input=ANSWERS, text=True, check=False)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted)
    for peer, package in ((hq, "hyperqueue"), (dask, "distributed")):
        if not peer.PYTHON.exists():
            run(sys.executable, "-m", "venv", str(peer.VENV))
            words = ("-m", "pip", "install", "--quiet", f"{package}=={peer.VERSION}")
            run(str(peer.PYTHON), *words)


def run(*words: str) -> None:
    """Run one command, seen by who waits."""
    print(f"$ {' '.join(words)}", flush=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    if code := subprocess.run(words, env=env, stdin=subprocess.DEVNULL, check=False).returncode:
        sys.exit(f"bench: {words[0]} ended with {code}")


if __name__ == "__main__":
    main()
