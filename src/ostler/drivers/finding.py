"""Where drivers are: entry points, and classes that an administrator names by their place."""

import importlib
import importlib.util
import os
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ostler.drivers.contract import GROUP
from ostler.model.errors import UsageError


def kinds() -> dict[str, EntryPoint]:
    """Return the drivers that are installed, by their names."""
    return {point.name: point for point in entry_points(group=GROUP)}


def find(driver: str) -> Any:
    """Return a driver's class; raise `UsageError` if there is none, and whatever its code raises.

    driver: the name of an entry point, or MODULE:CLASS, or FILE.py:CLASS with an absolute path.
    """
    place, _, name = driver.rpartition(":")
    if place:
        module = _module_of(place)
        if not hasattr(module, name):
            raise UsageError(f"there is no {name} in {place}", expected="a class with four verbs")
        return getattr(module, name)
    known = kinds()
    if driver not in known:
        raise UsageError(
            f"there is no driver {driver!r}",
            expected=f"one of {', '.join(sorted(known)) or 'none'}, MODULE:CLASS or FILE.py:CLASS",
            hint=f"install a package that offers it in the group {GROUP}",
        )
    return known[driver].load()


def _module_of(place: str) -> Any:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if path.is_absolute() and not path.is_file():
        raise UsageError(
            f"there is no file {place}",
            hint="put it there, or name another: `ostler rm set NAME driver=FILE.py:CLASS`",
        )
    if not path.is_absolute() or spec is None or spec.loader is None:
        raise UsageError(f"{place} cannot be loaded", expected="the absolute path of a file")
    _check_owner(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _check_owner(path: Path) -> None:
    """Raise `UsageError` if root is to run what others can write than those who can write us."""
    if os.geteuid():
        return
    facts, own = path.stat(), Path(__file__).stat()
    others = 0o002 if facts.st_gid in (0, own.st_gid) else 0o022
    if facts.st_uid not in (0, own.st_uid) or facts.st_mode & others:
        raise UsageError(
            f"{path} can be written by others than root, who is to run it",
            hint="let root own it, alone: `chown root FILE; chmod go-w FILE`; or set run-as=USER",
        )
