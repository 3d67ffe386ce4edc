"""`python -m ostler.manager --state STATE`: started by the supervisor."""

import argparse
import sys
from pathlib import Path

from ostler.manager.daemon import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="ostler-manager")
    parser.add_argument("--state", type=Path, required=True, help="state folder of the machine")
    sys.exit(main(parser.parse_args().state))
