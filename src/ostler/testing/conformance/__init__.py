"""What every driver must do, as cases that any driver's author can run.

Under pytest, with a bench of one's own or as it stands:

    from ostler.testing.conformance import CASES, Bench, run

    @pytest.mark.parametrize("name", CASES)
    def test_my_driver_keeps_the_contract(name: str) -> None:
        run(name, Bench(MyDriver, {"host": "login1"})).demand()

Without it: `ostler rm check NAME`, or `for finding in check_apart(bench): ...`, each case in a
process of its own.
"""

from ostler.testing.conformance.apart import check_apart
from ostler.testing.conformance.bench import Bench
from ostler.testing.conformance.cases import Case
from ostler.testing.conformance.finding import Failed, Finding, Skipped, Verdict
from ostler.testing.conformance.running import CASES, check, run

__all__ = [
    "CASES",
    "Bench",
    "Case",
    "Failed",
    "Finding",
    "Skipped",
    "Verdict",
    "check",
    "check_apart",
    "run",
]
