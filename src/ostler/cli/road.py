"""Where the `ostler` script enters, by file name and without site: python -SEI road.py ARGUMENTS."""

import posix
import sys

if __name__ == "__main__":
    # .../ostler/cli/road.py -> the folder that holds the package; without site nobody adds it.
    sys.path.append(__file__.rsplit("/", 3)[0])
    from ostler.cli.main import main

    status = main(sys.argv[1:])
    try:
        if sys.stdout is not None:  # as where the caller has closed it
            sys.stdout.flush()  # help, which click prints; all else is written at once
    except OSError:
        status = status or 1
    # Nothing is left to tidy up, and taking the interpreter apart costs as much as the request.
    posix._exit(status)  # noqa: SLF001 - its name everywhere
