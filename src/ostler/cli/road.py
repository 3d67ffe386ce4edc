"""Where the `ostler` script enters, by file name and without site: python -SEI road.py ARGUMENTS."""

from _frozen_importlib_external import SourceFileLoader

if __name__ == "__main__":
    # Python compiles this file at each start; `start.py`, which goes on from here, it keeps compiled.
    code = SourceFileLoader(__name__, f"{__file__[:-7]}start.py").get_code(__name__)
    exec(code)  # type: ignore[arg-type] # noqa: S102 - a source has code, and this one is ours
