"""`python -m ostler.manager --state STATE`: started by the supervisor."""

import sys

import ostler.wire.plain_asyncio  # noqa: F401 - before all others

if __name__ == "__main__":
    from pathlib import Path

    from ostler.manager.daemon import main
    from ostler.wire.words import state_folder

    sys.exit(main(Path(state_folder(sys.argv))))
