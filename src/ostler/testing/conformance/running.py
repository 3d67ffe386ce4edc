"""The cases, and how one is run: in this process, by threads that are left behind at a deadline."""

import time
from collections.abc import Iterable, Iterator

from ostler.drivers.contract import Trouble
from ostler.testing.conformance import ends, lists, options, starts
from ostler.testing.conformance.bench import Bench
from ostler.testing.conformance.cases import FOUND, Case
from ostler.testing.conformance.finding import Failed, Finding, Skipped, Verdict
from ostler.testing.conformance.trial import Trial

CASES: dict[str, Case] = {
    name: case
    for module in (lists, starts, ends, options)
    for name, case in FOUND.items()
    if case.run.__module__ == module.__name__
}


def run(name: str, bench: Bench) -> Finding:
    """Run one case, take away what it has begun, and return what it has found."""
    case = CASES[name]
    began = time.monotonic()
    verdict, text = Verdict.PASSED, ""
    trial = None
    try:
        trial = Trial(bench)
        case.run(trial)
    except Skipped as why:
        verdict, text = Verdict.SKIPPED, str(why)
    except Failed as why:
        verdict, text = Verdict.FAILED, str(why)
    except Trouble as why:
        verdict, text = Verdict.FAILED, f"it raised Trouble: {why}; expected an answer"
    except Exception as error:  # noqa: BLE001 - a driver's own, or a bench's
        verdict, text = Verdict.FAILED, f"{type(error).__name__}: {error}; expected no such error"
    finally:
        if trial is not None:
            trial.close()
    return Finding(name, case.title, verdict, text, time.monotonic() - began)


def check(bench: Bench, names: Iterable[str] = ()) -> Iterator[Finding]:
    """Run these cases, or all, one after the other."""
    for name in names or CASES:
        yield run(name, bench)
