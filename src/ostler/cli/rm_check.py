"""`ostler rm check`: hold a driver to its contract, on the resource manager that it is for."""

from ostler.cli.ask import link_to
from ostler.cli.main import slow_road
from ostler.cli.options import Given
from ostler.cli.output import cell, json_text, rows_of, say
from ostler.cli.site import values_of
from ostler.model.errors import OstlerError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ostler.testing.conformance import Finding


def main(given: Given) -> int:
    """Run the cases, and say of each how it came out; 1 if one failed."""
    slow_road()  # the kit needs installed packages
    from ostler.testing.conformance import Verdict, check_apart
    from ostler.testing.conformance.named import bench_of

    name, *words = given.words
    names = _cases(given)
    driver, settings = _known(given, name)
    bench = bench_of(driver, settings | {k: str(v) for k, v in values_of(words).items()})
    findings = []
    try:
        for finding in check_apart(bench, names):
            findings.append(finding)
            _tell(given, finding)
    finally:
        bench.close()
    count = {str(each): sum(f.verdict is each for f in findings) for each in Verdict}
    if given.flag("json"):
        rows = [{key: getattr(f, key) for key in f.__struct_fields__} for f in findings]
        say(json_text({"driver": name, **count, "cases": rows}))
    elif not given.flag("quiet"):
        say(f"{name}: {', '.join(f'{number} {verdict}' for verdict, number in count.items())}")
    return 1 if count[Verdict.FAILED] else 0


def _known(given: Given, name: str) -> tuple[str, dict[str, str]]:
    """Return driver and settings of a resource manager of the machine, if it has one of that name."""
    try:
        link = link_to(given)
        [row] = rows_of(link.call("read", what="rm", ref=name), "resource_managers")
        link.close()
    except (OstlerError, ValueError):  # no machine, or none of that name
        return name, {}
    settings = row.get("settings")
    told = settings.items() if isinstance(settings, dict) else ()
    return str(row["driver"]), {str(key): str(value) for key, value in told}


def _tell(given: Given, finding: "Finding") -> None:
    failed = finding.verdict == "failed"
    if not given.flag("json") and (failed or not given.flag("quiet")):
        text = f": {cell('', finding.text)}" if finding.text else ""
        say(f"{finding.verdict:7}  {finding.case}{text}")


def _cases(given: Given) -> list[str]:
    from ostler.testing.conformance import CASES

    names = given.many("case")
    for name in names:
        if name not in CASES:
            raise UsageError(
                f"there is no case {name!r}", expected="a name as `ostler rm check` prints it"
            )
    return names
