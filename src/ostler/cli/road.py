"""Where the `ostler` script enters, by file name and without site: python -SEI road.py ARGUMENTS."""

import gc
import posix
import sys

_MANY = 50_000  # objects, which no short command makes

if __name__ == "__main__":
    gc.set_threshold(_MANY)  # to look for circles costs more than those few keep
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
