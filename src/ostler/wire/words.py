"""What a daemon is told on its command line, read without the time that argparse takes to load."""

import sys
from collections.abc import Sequence


def state_folder(argv: Sequence[str]) -> str:
    """Return the folder of `--state STATE`; exit with 2 if that is not all that was said."""
    if len(argv) != 3 or argv[1] != "--state":
        sys.stderr.write("expected: --state STATE, the state folder of the machine\n")
        sys.exit(2)
    return argv[2]
