"""`python -m ostler.agent --state STATE`: started by the supervisor."""

import os
import sys

import ostler.wire.plain_asyncio  # noqa: F401 - before all others

if __name__ == "__main__":
    from ostler.agent.daemon import main
    from ostler.wire.words import state_folder

    sys.exit(main(os.path.abspath(state_folder(sys.argv))))
