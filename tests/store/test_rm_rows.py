"""What is known of other resource managers' nodes and jobs comes back as it was written."""

from ostler.model.foreign_rows import Discrepancy, RmJob, RmNode, Stage
from tests.store.builders import Held, a_job, an_allocation, an_event, ended

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


def test_an_archived_job_takes_its_rows_along(held: Held) -> None:
    held.commit(ended(a_job(7)), ended(a_job(8)), JOB, an_allocation(1, job=8))
    assert held.store.drop_jobs(held.epoch, [7], 100)
    assert held.store.load().rm_jobs == []


def test_a_discrepancy_goes_with_its_event_once_it_is_over(held: Held) -> None:
    over = Discrepancy(1, 1.0, "slurm", "stray", "slurm/4712", "over", "running", "ended", 2.0)
    lasts = Discrepancy(2, 1.0, "slurm", "state", "slurm/4711", "running", "idle", "it waits")
    held.commit(*(an_event(number) for number in (1, 2, 3)), over, lasts)
    held.store.drop_events(held.epoch, 1e9, 3, 10)
    rows = [n for (n,) in held.store._reader.execute("SELECT serial FROM discrepancies")]
    assert rows == [2]
