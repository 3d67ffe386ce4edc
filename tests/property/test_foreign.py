"""However resource managers lie, fail and forget, the machine stays sound and no job moves."""

from random import Random

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ostler.core.effects import Call, Send
from ostler.core.events import Acted, AgentReported, Event, Planned, Submitted
from ostler.model.ids import Ref
from ostler.model.job import JobSpec
from ostler.model.orders import Ended, EndShare
from ostler.model.resources import Placement, Request
from ostler.model.site_changes import Change
from ostler.schedule.snapshot import Plan, Start
from ostler.testing.rm import ScriptedRm
from tests.random_foreign import Life
from tests.unit.core_kit import ANN
from tests.unit.foreign_kit import Foreign

LIVES = settings(
    max_examples=max(6, settings().max_examples // 20), phases=[Phase.explicit, Phase.generate]
)
JOBS = 40


@LIVES
@given(st.integers(0, 1 << 30))
def test_whatever_they_tell_the_state_is_sound_and_everything_ends(seed: int) -> None:
    life = Life(Random(seed))
    life.play(60)
    assert life.crossings() == []


class Placed:
    """A machine whose plans are random; nothing is planned by itself."""

    def __init__(self, random: Random) -> None:
        self.random = random
        rms = [ScriptedRm(name, [f"{name}{i}" for i in range(3)], cpus=60) for name in "abc"]
        self.box = Foreign(*rms, native=("n1", "n2"))
        nodes = {"nodes": {"main": "*", "both": "n[1-2],a/*,b/*,c/*"}}
        self.box.change(
            Change("create", "partition", ("both",)), Change("set", "configuration", ("",), nodes)
        )
        self.homes: dict[int, str] = {}  # job -> where it was first
        request = Request(tasks=2)
        spec = JobSpec(argv=(b"true",), partition="both", requeue=True, request=request)
        one = JobSpec(argv=(b"true",), partition="both", requeue=True)
        for number in range(JOBS):
            spec = one if number % 2 else spec
            self.handle(Submitted(0, ANN, f"r{number}", spec, {}))

    def handle(self, event: Event) -> None:
        """Handle an event, and whatever agents and drivers answer."""
        todo = [event]
        while todo:
            effects = self.box.machine.handle(self.box.now, todo.pop(0))
            for effect in effects:
                if isinstance(effect, Call):
                    todo.append(self.box.answer(effect))
                elif isinstance(effect, Send) and isinstance(effect.order, EndShare):
                    row = Ended(effect.order.alloc, self.box.now, None, "requeue", "again")
                    todo.append(AgentReported(effect.node, 1, (row,)))

    def propose(self) -> int:
        """Let a plan be taken of which most is nonsense; return how many places were given."""
        s, lines = self.box.machine.state, []
        for job in self.random.sample(sorted(s.jobs), 25):
            request = s.jobs[job].job.spec.request
            names = self.random.sample(sorted(s.nodes), self.random.randint(1, request.tasks))
            tasks = [request.tasks - len(names) + 1, *[1] * (len(names) - 1)]
            places, rank = [], 0
            for name, count in zip(names, tasks, strict=True):
                free = sorted(s.nodes[name].books.cpus)[:count]
                places.append(Placement(name, count, rank, tuple(free)))
                rank += count
            lines.append(Start(job, tuple(places)))
        self.handle(Planned(Plan(list(lines), {})))
        for alloc in s.allocations.values():
            (home,) = {s.nodes[name].node.rm for name in alloc.nodes}
            assert self.homes.setdefault(alloc.job, home) == home
        return len(s.allocations)

    def again(self) -> None:
        """Let everything go back to the queue."""
        s = self.box.machine.state
        self.handle(Acted(0, ANN, "requeue", tuple(Ref(a.job) for a in s.allocations.values())))
        for rm in self.box.rms.values():
            self.box.now += 1.0
            self.handle(rm.load(self.box.now))
            rm.ends.clear()
        assert not s.allocations


def test_of_ten_thousand_random_placements_none_crosses() -> None:
    """R-MAU-5: whatever a scheduler proposes, what one took in never runs on another's nodes."""
    placed = Placed(Random(5))
    given = 0
    for turn in range(10_000 // 25):
        given += placed.propose()
        if turn % 4 == 3:
            placed.again()
    assert given > 1_000
    assert len(set(placed.homes.values())) == 4
