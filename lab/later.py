"""Checks of the requirements that wait for something that is not there yet, and for what."""

from lab.kit import Check, Ground, Skipped

_LATER = (
    ("refreshing of nodes' records", "R-RMS-3", "`last_update` comes with the machine manager"),
    ("nodes checked from outside", "R-RMS-5, 9, 10", "probes come with the machine manager"),
    ("unreachable apart from no_agent", "R-RMS-6", "probes come with the machine manager"),
    ("partitions and access", "R-RMS-11 to 15", "there is one partition so far"),
    ("contexts", "R-RMS-19 to 21", "contexts come with parallel programs"),
    ("two managers", "R-RMS-15", "a second manager comes with many hosts"),
)


def _check(name: str, of: str, why: str) -> Check:
    def run(at: Ground) -> str | None:  # noqa: ARG001 - nothing is done
        raise Skipped(why)

    return Check(name, of, run)


CHECKS = [_check(*row) for row in _LATER]
