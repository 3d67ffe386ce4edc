"""What is known of other resource managers' nodes and jobs comes back as it was written."""

from ostler.model.foreign_rows import Discrepancy, RmJob, RmNode, Stage
from tests.store.builders import Held

JOB = RmJob(
    "slurm", 7, 2, 1, Stage.ASKED, 50.0, "4711", "i1", "m-12", 12, True, "idle", "PD", "(Priority)",
    40.0, "it is idle there",
)  # fmt: skip


def test_jobs_are_loaded_until_they_are_over_and_a_day_longer(held: Held) -> None:
    old = RmJob("slurm", 8, 0, 1, Stage.OVER, 50.0)
    held.store.commit([JOB, old, RmJob("slurm", 9, 0, 1, Stage.OVER, 90_000.0)], held.epoch)
    assert held.store.load().rm_jobs == [JOB, RmJob("slurm", 9, 0, 1, Stage.OVER, 90_000.0)]


def test_a_node_is_written_and_goes(held: Held) -> None:
    node = RmNode("slurm/n1", "slurm", "down", "DOWN*", "Not responding", "h1", 12.5)
    held.store.commit([node], held.epoch)
    assert held.store.load().rm_nodes == [node]
    held.store.commit([RmNode("slurm/n1", "slurm", "down", over=True)], held.epoch)
    assert held.store.load().rm_nodes == []


def test_a_discrepancy_is_loaded_as_long_as_it_lasts(held: Held) -> None:
    odd = Discrepancy(3, 1.0, "slurm", "state", "slurm/4711", "running", "idle", "it waits")
    over = Discrepancy(4, 1.0, "slurm", "stray", "slurm/4712", "over", "running", "ended", 2.0)
    held.store.commit([odd, over], held.epoch)
    assert held.store.load().discrepancies == [odd]
