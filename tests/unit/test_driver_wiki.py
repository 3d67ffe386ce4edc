"""The WIKI driver against a real server on loopback, which fails in every way it can."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostler.drivers.contract import Trouble
from ostler.drivers.wiki import WikiDriver
from ostler.model.foreign import Did, ForeignState, NodeState, Share, Start
from ostler.testing.conformance import Verdict, check
from ostler.testing.conformance.wiki import WikiBench
from ostler.testing.wiki_orders import main
from ostler.testing.wiki_rm import SimJob
from ostler.testing.wiki_sim import Fault, WikiSim
from ostler.wire.wiki_words import GetJobs, StartJob


class Clock:
    """Time of the simulated jobs, which passes when told."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sim(clock: Clock) -> Iterator[WikiSim]:
    with WikiSim({"n1": 2, "n2": 2}, clock=clock) as sim:
        yield sim


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("42\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def driver(sim: WikiSim, key: Path) -> WikiDriver:
    return WikiDriver({"port": str(sim.port), "key-file": str(key)})


@pytest.fixture
def hasty(sim: WikiSim, key: Path) -> WikiDriver:
    """One that gives up soon."""
    return WikiDriver({"port": str(sim.port), "key-file": str(key), "timeout": "0.4"})


def order(job: str, *tasks: str, token: str = "t") -> Start:
    shares = tuple(
        Share(node, tasks.count(node), tasks.count(node)) for node in dict.fromkeys(tasks)
    )
    return Start(token, shares, id=job)


def test_it_keeps_the_contract() -> None:
    """R-MAU-6."""
    bench = WikiBench(WikiDriver)
    found = {f.case: f for f in check(bench) if f.verdict is not Verdict.PASSED}
    bench.close()
    assert {name: f.text for name, f in found.items() if f.verdict is Verdict.FAILED} == {}
    assert set(found) == {
        "answers-for-many-nodes-at-once",  # what WIKI has no words for
        "cancels-by-token-after-a-restart",
        "changes-time-limits",
        "proves-a-failure",
        "requeues",
        "runs-once-what-was-forgotten",
        "runs-what-was-forgotten-before-it-began",
        "tells-that-something-has-happened",
        "writes-checkpoints",
    }


def test_nodes_and_jobs_are_told_in_the_terms_of_the_contract(
    driver: WikiDriver, sim: WikiSim, clock: Clock
) -> None:
    sim.add(SimJob("j1", 60, tasks=3, time_limit=120))
    sim.invent(SimJob("j2", 60, user="bob"), "n2")
    sim.rm.nodes["n1"].state = "Drained"
    nodes = {node.name: node for node in driver.list_nodes().nodes}
    assert (nodes["n1"].state, nodes["n1"].reason) == (NodeState.DRAINING, "WIKI says Drained")
    assert (nodes["n2"].state, nodes["n2"].cpus, nodes["n2"].used_cpus) == (NodeState.UP, 2, 1)
    told = driver.list_jobs()
    jobs = {job.id: job for job in told.jobs}
    assert told.complete
    assert not told.ended
    assert (jobs["j1"].state, jobs["j1"].tasks) == (ForeignState.IDLE, 3)
    assert (jobs["j1"].time_limit, jobs["j1"].submitted_at) == (120, int(clock.now))
    assert (jobs["j2"].state, jobs["j2"].user) == (ForeignState.RUNNING, "bob")
    assert jobs["j2"].shares == (Share("n2", 1, 1),)


def test_a_job_is_started_suspended_resumed_and_ends_with_proof(
    driver: WikiDriver, sim: WikiSim, clock: Clock
) -> None:
    sim.add(SimJob("j1", 60, tasks=3))
    assert driver.start(order("j1", "n1", "n1", "n2")).did is Did.ACCEPTED
    assert sim.rm.jobs["j1"].nodes == ("n1", "n1", "n2")
    assert driver.suspend("j1", "t").did is Did.ACCEPTED
    assert driver.list_jobs().jobs[0].state is ForeignState.SUSPENDED
    assert driver.resume("j1", "t").did is Did.ACCEPTED
    clock.now += 61
    told = driver.list_jobs()
    assert not told.jobs
    (end,) = told.ended
    assert (end.id, end.result, end.proof) == ("j1", "success", "GETJOBS: STATE=Completed")
    assert end.ended_at == int(clock.now - 1)


def test_a_vacated_job_has_not_ended_and_may_be_let_go_of_without_a_word(
    driver: WikiDriver, sim: WikiSim
) -> None:
    sim.add(SimJob("j1", 60))
    assert driver.start(order("j1", "n1")).did is Did.ACCEPTED
    sim.rm.jobs["j1"].state = "Vacated"
    told = driver.list_jobs()
    assert ([job.state for job in told.jobs], told.ended) == ([ForeignState.VACATED], ())
    del sim.rm.jobs["j1"]
    assert not driver.list_jobs().jobs


def test_a_cancelled_job_is_proven_removed_and_once_more_is_no_failure(
    driver: WikiDriver, sim: WikiSim
) -> None:
    sim.add(SimJob("j1", 60))
    assert driver.cancel("j1", "").did is Did.ACCEPTED
    assert [end.result for end in driver.list_jobs().ended] == ["cancelled"]
    assert driver.cancel("j1", "").did is Did.ALREADY
    assert driver.cancel("j9", "").did is Did.REFUSED


def test_a_refused_start_keeps_the_words_of_the_resource_manager(
    driver: WikiDriver, sim: WikiSim
) -> None:
    sim.add(SimJob("j1", 60))
    sim.rm.nodes["n1"].state = "Down"
    outcome = driver.start(order("j1", "n1"))
    assert (outcome.did, outcome.text) == (Did.REFUSED, "SC=-910: node n1 is Down")
    assert driver.start(order("j9", "n1")).did is Did.REFUSED
    assert driver.start(Start("t", (Share("n1"),))).did is Did.NEVER


def test_a_start_that_is_repeated_starts_nothing_a_second_time(
    driver: WikiDriver, sim: WikiSim, key: Path
) -> None:
    sim.add(SimJob("j1", 60))
    another = WikiDriver({"port": str(sim.port), "key-file": str(key)})  # one that knows nothing
    dids = [each.start(order("j1", "n1")).did for each in (driver, driver, another)]
    assert dids == [Did.ACCEPTED] * 3
    assert sim.rm.jobs["j1"].starts == 1
    assert driver.start(order("j1", "n2")).did is Did.REFUSED  # it runs elsewhere


def test_a_start_whose_answer_is_lost_is_asked_about(driver: WikiDriver, sim: WikiSim) -> None:
    sim.add(SimJob("j1", 60))
    sim.fail("STARTJOB", Fault.LOST, 1)
    assert driver.start(order("j1", "n1")).did is Did.ACCEPTED
    assert list(sim.calls)[-2:] == [StartJob("j1", ("n1",)), GetJobs(0, ("j1",))]


def test_a_start_that_was_not_heard_is_unknown_and_asked_about_before_it_is_sent_again(
    driver: WikiDriver, sim: WikiSim
) -> None:
    sim.add(SimJob("j1", 60))
    sim.fail("STARTJOB", Fault.DEAF, 1)
    assert driver.start(order("j1", "n1")).did is Did.UNKNOWN
    assert driver.start(order("j1", "n1")).did is Did.ACCEPTED
    kinds = [type(call).__name__ for call in sim.calls]
    assert kinds == ["StartJob", "GetJobs", "GetJobs", "StartJob"]
    assert sim.rm.jobs["j1"].starts == 1


FAULTS = [
    (Fault.DEAF, "ends after 0 of 9 bytes"),
    (Fault.LOST, "ends after 0 of 9 bytes"),
    (Fault.GARBAGE, "eight digits"),
    (Fault.CHECKSUM, "checksum is wrong"),
    (Fault.CLOCK, "made 8640. s ago"),
    (Fault.COUNT, "announces 2 records and has 1"),
    (Fault.TORN, "ends within a field"),
    (Fault.SHORT, "the answer ends after"),
    (Fault.LONG, "99999999 bytes"),
    (Fault.REFUSE, "SC=-1: refused on command"),
    (Fault.EMPTY, "no job, and had some"),
]


@pytest.mark.parametrize(("fault", "why"), FAULTS)
def test_a_listing_with_a_fault_is_trouble_and_never_an_empty_one(
    driver: WikiDriver, sim: WikiSim, fault: Fault, why: str
) -> None:
    sim.add(SimJob("j1", 60))
    assert len(driver.list_jobs().jobs) == 1
    sim.fail("GETJOBS", fault)
    with pytest.raises(Trouble, match=why):
        driver.list_jobs()
    sim.mend()
    assert len(driver.list_jobs().jobs) == 1


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIP, Fault.LATE])
def test_a_call_has_one_deadline_for_all_of_it(
    hasty: WikiDriver, sim: WikiSim, fault: Fault
) -> None:
    sim.fail("GETNODES", fault)
    with pytest.raises(Trouble, match=r"no whole answer within 0\.4 s"):
        hasty.list_nodes()


def test_nobody_who_listens_is_trouble(sim: WikiSim, driver: WikiDriver) -> None:
    sim.close()
    with pytest.raises(Trouble, match="refused"):
        driver.list_nodes()


def test_no_job_at_all_is_an_answer_where_none_was_unfinished(
    driver: WikiDriver, sim: WikiSim, clock: Clock
) -> None:
    told = driver.list_jobs()
    assert (told.jobs, told.complete) == ((), False)  # no job need be missed for it
    sim.add(SimJob("j1", 60))
    driver.list_jobs()
    driver.cancel("j1", "")
    assert driver.list_jobs().ended
    clock.now += 1000
    assert not driver.list_jobs().ended  # its time in the listing is over


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "port must be a number"),
        ({"port": "0"}, "port must be a number from 1 to 65535, not '0'"),
        ({"port": "1"}, "key-file is missing"),
        ({"port": "1", "auth": "md5"}, "auth must be checksum or none"),
        ({"port": "1", "key-file": "/no/such"}, "cannot be read"),
        ({"port": "1", "auth": "none", "user": "a b"}, "is no name"),
        ({"port": "1", "auth": "none", "timeout": "x"}, "timeout must be"),
        ({"port": "1", "auth": "none", "window": "nan"}, "window must be"),
        ({"prot": "1"}, "there is no setting 'prot'"),
    ],
)
def test_bad_settings_are_told(settings: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        WikiDriver(settings)


def test_a_key_that_others_can_read_is_refused(key: Path) -> None:
    key.chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        WikiDriver({"port": "1", "key-file": str(key)})


def test_unsigned_messages_where_both_sides_want_it_so() -> None:
    with WikiSim({"n1": 2}, key=None) as sim:
        driver = WikiDriver({"port": str(sim.port), "auth": "none"})
        assert [node.name for node in driver.list_nodes().nodes] == ["n1"]


def test_the_simulator_obeys_orders_from_its_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = "add j1 60\ninvent j2 60 n1\nrename n1 n9\nfail GETJOBS empty 1\nmend\njobs\nlose x\n"
    monkeypatch.setattr("sys.argv", ["wiki_sim", "--nodes", "n1:2", "--key", "-1"])
    monkeypatch.setattr("sys.stdin", io.StringIO(orders))
    main()
    port, *said = map(json.loads, capsys.readouterr().out.splitlines())
    assert port["port"] > 0
    assert said[-2] == [
        {"id": "j1", "state": "Idle", "nodes": [], "starts": 0},
        {"id": "j2", "state": "Running", "nodes": ["n9"], "starts": 1},
    ]
    assert said[-1] == {"error": "KeyError: 'x'"}
