"""The bench measures real peers: each of them runs what it is told to, and comes into the table."""

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest

from bench.bench import Bench
from bench.peers import Peers
from bench.record import Record
from bench.rows import elements, latency
from bench.sizes import Sizes

FEW = Sizes(
    rounds=1,
    elements=50,
    elements_hyperqueue=50,
    elements_parallel=20,
    elements_slurm=8,
    bodies=2,
    bodies_slurm=1,
)


@pytest.mark.parametrize(
    ("row", "peers"),
    [
        (elements.discarded, {"xargs", "HyperQueue", "parallel", "Slurm"}),
        (latency.measure, {"HyperQueue, client", "srun", "sbatch"}),
    ],
    ids=["elements", "latency"],
)
def test_every_peer_of_a_row_is_measured(
    open_folder: Path, row: Callable[[Bench], None], peers: set[str]
) -> None:
    folder = Path(mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    record = Record()
    others = Peers(folder, wanted=True)
    try:
        row(Bench(folder, FEW, others, record))
    finally:
        others.close()
    missing = [f"{gap.contender}: {gap.why}" for gap in record.gaps]
    if missing:
        pytest.skip(f"NOT TESTED AGAINST {'; '.join(missing)}; `make test-peers` installs them")
    # So few take less CPU than the kernel's clock has steps, but time they do take.
    rated = [one for one in record.series if one.measure in (elements.RATE, latency.MEDIAN)]
    assert peers < {series.contender for series in rated if min(series.values) > 0}
