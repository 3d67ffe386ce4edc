"""`python -m ostler.agent --state STATE`: started by the supervisor."""

import argparse
import os
import sys

from ostler.agent.daemon import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="ostler-agent")
    parser.add_argument("--state", required=True, help="state folder of the machine")
    sys.exit(main(os.path.abspath(parser.parse_args().state)))
