"""Which driver and which bench a name means."""

import ast
from pathlib import Path
from typing import Any

from ostler.drivers.finding import find, kinds
from ostler.model.errors import Missing, OstlerError, UsageError
from ostler.model.foreign import About
from ostler.testing.conformance.bench import Bench
from ostler.testing.conformance.native import LabBench, NativeDriver
from ostler.testing.conformance.shipped import BENCHES


def bench_of(name: str, settings: dict[str, str]) -> Bench:
    """Return what to try a driver on: what its class says, else what fits it.

    name: as `driver_of` reads it, or native, for a lab of Ostler's own agents.
    Raises `UsageError` or `Missing` where there is no such driver, or settings that it does not take.
    """
    if name == NativeDriver.about.name:
        return LabBench()
    kind = _class_of(driver_of(name))
    made = getattr(kind, "bench", None)
    try:
        bench: Bench = (
            made(settings) if made else BENCHES.get(kind.about.name, Bench)(kind, settings)
        )
        bench.driver()
    except ValueError as error:
        told = "; ".join(f"{key}: {text}" for key, text in kind.about.settings.items())
        raise UsageError(f"the driver does not take it: {error}", expected=told) from None
    return bench


def _class_of(driver: str) -> Any:
    try:
        kind = find(driver)
    except OstlerError:
        raise
    except Exception as error:  # noqa: BLE001 - what its code raises, or that it is not there
        raise UsageError(f"{driver} cannot be loaded: {type(error).__name__}: {error}") from None
    if not isinstance(getattr(kind, "about", None), About):
        told = "a class with `about`, and the four verbs"
        raise UsageError(f"{driver} is no driver", expected=told)
    return kind


def driver_of(name: str) -> str:
    """Return where a driver is, as `ostler.drivers.finding` reads it; raise `Missing`.

    name: as there, or of a file NAME.py in the working directory, or that file.
    """
    if ":" in name or name in kinds():
        return name
    path = Path(name if name.endswith(".py") else f"{name}.py").absolute()
    if not path.is_file():
        raise Missing(
            f"there is no driver {name!r}",
            expected=f"{', '.join(sorted(kinds()))}, MODULE:CLASS, or a file {path.name} here",
            hint=f"ostler rm new {path.stem} begins one",
        )
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise UsageError(f"{path.name}, line {error.lineno}: {error.msg}") from None
    for part in tree.body:
        verbs = {each.name for each in ast.walk(part) if isinstance(each, ast.FunctionDef)}
        if isinstance(part, ast.ClassDef) and {"list_nodes", "list_jobs"} <= verbs:
            return f"{path}:{part.name}"
    raise UsageError(f"{path.name} has no driver", expected="a class with the four verbs")
