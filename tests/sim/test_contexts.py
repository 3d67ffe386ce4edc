"""From a request to its start and its end: R-RMS-18 to 22, in virtual time."""

from itertools import pairwise

import pytest

from ostler.core.events import Acted, Awaited, Submitted
from ostler.model.errors import NotNow, Refused
from ostler.model.ids import Ref
from ostler.model.job import ALLOC
from ostler.testing.cluster import ANN, SimCluster
from ostler.testing.tasks import make_spec

STORY = (
    "job/submitted",
    "allocation/granted",
    "context/created",
    "allocation/ready",
    "job/running",
)


def story(sim: SimCluster, job: int) -> list[str]:
    """Return the kinds of the durable events of a job, in order."""
    return [row["kind"] for row in sim.store.real.history(job)]


def leaks(sim: SimCluster) -> list[str]:
    """Return what is left of allocations anywhere, and the CPUs that are not free."""
    found = [
        f"CPUs of {n}: {e.books.cpus}" for n, e in sim.core.nodes.items() if len(e.books.cpus) < 4
    ]
    for name, host in sim.hosts.items():
        kept = sorted(host.contexts | host.dirty | host.journal.keys() | host.starters.keys())
        found += [f"{name} keeps {kept}"] if kept else []
    return found


def clean(sim: SimCluster) -> bool:
    """Say whether all is over and nothing is left."""
    return sim.quiet() and not sim.core.jobs and not leaks(sim)


def test_r_rms_18_a_request_blocks_until_what_it_asks_for_is_free() -> None:
    sim = SimCluster(1, nodes=1)
    first = sim.submit(cpus=4, seconds=10)
    sim.run_until(lambda: sim.started(first))
    began = sim.now
    held = sim.submit(cpus=4, kind=ALLOC, idle=0)
    assert sim.rule(held) == "resources"
    sim.run_until(lambda: sim.state(held) == "running")
    assert 9 <= sim.now - began <= 12
    sim.ask(Acted, ANN, "end", (Ref(held),))
    sim.run_until(lambda: clean(sim))


def test_r_rms_18_an_interrupted_request_leaves_the_queue_empty() -> None:
    sim = SimCluster(1, nodes=1)
    first = sim.submit(cpus=4, seconds=10)
    held = sim.submit(cpus=4, kind=ALLOC)
    sim.act("cancel", held)
    assert list(sim.core.jobs) == [first]
    sim.run_until(lambda: clean(sim))


def test_r_rms_18_immediate_is_now_or_never_within_one_pass() -> None:
    sim = SimCluster(1, nodes=1)
    sim.submit(cpus=3, seconds=10)
    asked = sim.now
    late = sim.submit(cpus=2, kind=ALLOC, immediate=True)
    assert (sim.state(late), sim.now - asked < 1) == ("rejected", True)
    now = sim.submit(cpus=1, kind="run", immediate=True)
    sim.run_until(lambda: sim.state(now) == "success")


def test_an_immediate_request_that_a_node_could_not_make_does_not_wait_either() -> None:
    sim = SimCluster(1, nodes=1)
    sim.hosts["n01"].no_contexts = True
    late = sim.submit(cpus=1, kind="run", immediate=True)
    sim.run_until(lambda: sim.state(late) == "rejected", seconds=5)


def test_r_rms_18_a_waiter_that_reconnects_resumes_the_same_request() -> None:
    sim = SimCluster(1, nodes=1)
    sim.submit(cpus=4, seconds=100)
    ann = sim.clients[ANN.user]
    spec = make_spec(5, cpus=4, kind="run")
    first = sim.answer(ann.submit(spec, "the same request"))["job"]
    wait = ann.ask(lambda to: Awaited(to, ANN, (Ref(int(first)),), attach=True))
    for _ in range(2):  # its connection breaks with the manager, and it says all of it again
        sim.kill_manager()
        assert sim.answer(ann.submit(spec, "the same request"))["job"] == first
        sim.run_for(20)
    assert len(sim.core.jobs) == 2
    sim.answer(wait)
    assert sim.state(int(first)) == "success"


def test_more_clients_than_the_queue_is_deep_are_told_so_and_jobs_are_queued_all_the_same() -> None:
    sim = SimCluster(1, nodes=1)
    sim.configure("queue-depth", 2)
    sim.submit(cpus=4, seconds=10)
    waiting = [sim.submit(kind="run", seconds=1), sim.submit(kind=ALLOC, idle=1)]
    with pytest.raises(Refused, match=r"2 requests.*queue-depth is 2.*`ostler submit`"):
        sim.submit(kind="run")
    now = make_spec(1, kind=ALLOC, immediate=True)
    with pytest.raises(NotNow, match="queue-depth is 2"):
        sim.ask(Submitted, ANN, "now or never", now, {})
    sim.submit(seconds=1)
    sim.run_until(lambda: sim.state(waiting[0]) == "success")
    sim.submit(kind="run", seconds=1)
    sim.run_until(lambda: clean(sim))


def test_r_rms_19_every_node_creates_one_and_the_same_context() -> None:
    sim = SimCluster(1, nodes=4)
    job = sim.submit(nodes=4, tasks=4, seconds=5)
    sim.run_until(lambda: len(sim.runs(job)) == 4)
    (alloc,) = sim.core.allocations
    rows = [r for r in sim.store.real.history(job) if r["kind"] == "context/created"]
    assert {row["allocation"] for row in rows} == {alloc}
    assert sorted(row["node"] for row in rows) == sorted(sim.hosts)
    launches = [host.journal[alloc].launch for host in sim.hosts.values()]
    assert {launch.members for launch in launches} == {("n01", "n02", "n03", "n04")}
    assert len({launch.key for launch in launches}) == 1
    assert len(launches[0].key) == 64


def test_elements_of_arrays_leave_no_events_of_contexts() -> None:
    sim = SimCluster(1, nodes=2)
    job = sim.submit(array=((0, 9),), seconds=1)
    sim.run_until(lambda: sim.state(job) == "success")
    assert not set(story(sim, job)) & {"context/created", "allocation/ready"}


def test_r_rms_21_where_no_context_can_be_made_all_is_undone_and_others_do_it() -> None:
    sim = SimCluster(1, nodes=4)
    sim.hosts["n02"].no_contexts = True
    job = sim.submit(nodes=3, tasks=3, cpus=4, seconds=20)
    later = sim.submit(nodes=3, tasks=3, cpus=4, seconds=20)
    sim.run_until(lambda: sim.events("context/failed") != [])
    sim.run_until(lambda: len(sim.runs(job)) == 3)
    sim.run_until(sim.quiet)
    assert sim.events("context/failed") == ["n02: n02 cannot write its context: no space is left"]
    assert sim.runs(job) == ["n01", "n03", "n04"]
    assert (sim.state(later), sim.hosts["n02"].contexts) == ("pending", set())
    rows = [
        r for r in sim.store.real.history(job) if r["kind"] in ("context/failed", "job/pending")
    ]
    assert [row["kind"] for row in rows][:1] == ["context/failed"]
    assert rows[0]["node"] == "n02"
    assert "n02 cannot write" in rows[1]["text"]


def test_r_rms_20_and_22_contexts_come_before_every_start_and_vanish_whatever_cuts_jobs_short() -> (
    None
):
    sim = SimCluster(1, nodes=4)
    sizes = [1, 2, 3, 4] * 50
    jobs = [sim.submit(nodes=n, tasks=n, seconds=20, requeue=True) for n in sizes]
    for _ in range(20):
        node = sim.rng.choice(sorted(sim.hosts))
        sim.run_for(10)
        sim.crash(node, spared=sim.rng.random() < 0.5)
        sim.run_for(10)
        sim.boot(node)
    sim.run_until(lambda: clean(sim))
    assert set(sim.states(jobs)) == {"success"}
    assert sum(len(runs) for runs in sim.ledger.runs.values()) > sum(sizes)
    for job, size in zip(jobs, sizes, strict=True):
        _check_order(sim, job, size)


def _check_order(sim: SimCluster, job: int, size: int) -> None:
    """Queued, allocated, context created everywhere, replied, started: for each start anew."""
    rows = sim.store.real.history(job)
    assert rows[0]["kind"] == "job/submitted"
    began = {}
    for alloc in {row["allocation"] for row in rows} - {None}:
        mine = [row["kind"] for row in rows if row["allocation"] == alloc]
        created = mine.count("context/created")
        assert mine[: created + 1] == ["allocation/granted", *["context/created"] * created]
        assert created == size or "allocation/ready" not in mine
        began[alloc] = [r["at"] for r in rows if (r["allocation"], r["kind"]) == (alloc, STORY[3])]
    for run in sim.ledger.runs[job, 0]:
        # On one node, context and start travel together, and are told together.
        assert size == 1 or run.began >= began[run.launch.alloc][0]
    kinds = [row["kind"] for row in rows if row["kind"] in (*STORY[3:], "job/pending")]
    assert all(b == "allocation/ready" for b, a in pairwise(kinds) if a == "job/running")


@pytest.fixture
def prepared() -> SimCluster:
    """Return a machine of four nodes that run a prolog and an epilog."""
    sim = SimCluster(1, nodes=4)
    sim.configure("prolog", "/site/prolog")
    sim.configure("epilog", "/site/epilog")
    return sim


def test_a_prolog_that_fails_drains_its_node_and_the_job_runs_elsewhere(
    prepared: SimCluster,
) -> None:
    sim = prepared
    sim.hosts["n01"].fail_programs = 1
    job = sim.submit(nodes=2, tasks=2, cpus=4, seconds=5)
    later = sim.submit(nodes=3, tasks=3, cpus=4, seconds=5)
    sim.run_until(lambda: sim.state(job) == "success")
    assert {run.node for run in sim.ledger.runs[job, 0]} <= {"n02", "n03", "n04"}
    node = sim.core.nodes["n01"].node
    assert (node.word, node.word_reason) == (
        "draining",
        "prolog /site/prolog exited with status 1: no scratch",
    )
    sim.run_until(lambda: clean(sim))
    assert sim.state(later) == "success"
    assert sim.ledger.runs[job, 0][0].began < sim.ledger.runs[later, 0][0].began


def test_an_epilog_that_fails_drains_its_node_and_the_job_keeps_its_result(
    prepared: SimCluster,
) -> None:
    sim = prepared
    job = sim.submit(nodes=4, tasks=4, seconds=5, exit_code=3)
    sim.run_until(lambda: len(sim.runs(job)) == 4)
    sim.hosts["n03"].fail_programs = 1
    sim.run_until(lambda: sim.state(job) == "failed")
    words = {name: str(entry.node.word) for name, entry in sim.core.nodes.items()}
    assert words == {"n01": "in", "n02": "in", "n03": "draining", "n04": "in"}
    sim.run_until(lambda: clean(sim))


def test_slots_of_an_array_are_prepared_once_and_a_failure_costs_no_element(
    prepared: SimCluster,
) -> None:
    sim = prepared
    sim.hosts["n02"].fail_programs = 1
    job = sim.submit(array=((0, 99),), seconds=1)
    sim.run_until(lambda: sim.state(job) == "success")
    assert sim.core.nodes["n02"].node.word == "draining"
    sim.run_until(lambda: clean(sim))


def test_what_is_cancelled_during_its_prolog_is_cleared_away(prepared: SimCluster) -> None:
    sim = prepared
    job = sim.submit(seconds=5)
    sim.run_until(lambda: any(host.dirty for host in sim.hosts.values()))
    sim.act("cancel", job)
    sim.run_until(lambda: clean(sim))
    assert (sim.state(job), (job, 0) in sim.ledger.runs) == ("cancelled", False)


@pytest.mark.parametrize("how", ["freeze", "crash", "cut"])
def test_a_node_that_falls_silent_before_all_hold_the_context_keeps_nobody(how: str) -> None:
    sim = SimCluster(1, nodes=3)
    sim.freeze("n02")  # it takes the order, and says no word
    job = sim.submit(nodes=2, tasks=2, cpus=4, seconds=20, nodelist=("n02", "n03"))
    other = sim.submit(nodes=2, tasks=2, cpus=4, seconds=20)
    sim.run_until(lambda: sim.hosts["n03"].contexts != set())
    if how != "freeze":
        sim.thaw("n02")
        {"crash": sim.crash, "cut": sim.cut}[how]("n02")
    sim.run_until(lambda: sim.events("context/failed") != [], seconds=60)
    sim.run_until(lambda: sim.runs(other) == ["n01", "n03"], seconds=60)
    assert sim.events("context/failed") == [
        "n02: it fell silent before every node held the context"
    ]
    {"freeze": sim.thaw, "crash": sim.boot, "cut": sim.heal}[how]("n02")
    sim.run_until(lambda: clean(sim))
    assert sim.states([job, other]) == ["success", "success"]
