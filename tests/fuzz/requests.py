"""What hostile clients and agents say to a manager: every message of theirs, with fields that lie."""

import typing

from hypothesis import strategies as st

from ostler.model.job import JobSpec
from ostler.model.resources import NodeFacts
from ostler.model.settings import ATTRIBUTES
from ostler.wire import messages
from tests.fuzz.values import TEXTS, Fields, Value

PREY = 6  # jobs that a rig makes for the bursts to act on: 1 to 6
STRAY = ["0", "12345678", "1_0", "4_[0-9]", "4_[0-9999999]", "4_0-9999999:2", "4_", "_", "1_-1"]
STRAY += ["9" * 30, "1" * 200_000, "4_" + "1," * 60_000]
REFS = st.sampled_from([str(number) for number in range(1, PREY + 1)] + STRAY)
SQL = [
    "select 1",
    "select * from jobs",
    "select",
    ";",
    "pragma user_version",
    "select zeroblob(1e9)",
]
SQL += ["attach 'x' as y", "with recursive a(n) as (select 1 union all select n+1 from a) select n"]

# Programs and paths that harm nobody, whoever runs them.
COMMANDS: list[list[bytes]] = [[b"true"], [b"/bin/false"], [b"/nonexistent"], [b""], [b"\xff"], []]
FILES = [b"", b"/dev/null", b"%j.%a.%t", b"%", b"x" * 5000, b"\xff%n", b"/dev/full", b"no/such"]


def known(work: bytes) -> dict[str, Value]:
    """Return values that lead deeper than chance. work: a folder in which tasks may write."""
    return {
        "id": st.integers(1, 9),
        "verb": st.sampled_from(
            ["cancel", "hold", "release", "suspend", "resume", "requeue", "signal", "undrain", "x"]
        ),
        "refs": st.lists(REFS, max_size=4) | st.lists(REFS, min_size=1, max_size=1) | _many(),
        "ref": REFS,
        "what": st.sampled_from(
            [
                "status",
                "jobs",
                "job",
                "nodes",
                "node",
                "explain",
                "history",
                "events",
                "acct",
                "config",
                "settings",
                "x",
            ]
        ),
        "sql": st.sampled_from(SQL),
        "job": REFS | st.integers(0, PREY),
        "key": st.sampled_from(["", "nosuch"]),
        "how": st.sampled_from(["", "no such way"]),
        "node": st.sampled_from(["evil", "evil2"]),
        "nodes": st.lists(st.sampled_from(["evil", "nosuch", ""]), max_size=3),
        "version": st.just(messages.VERSION),
        "alloc": st.integers(0, 60),
        "element": st.integers(0, 12),
        "phase": st.sampled_from(["made", "started", "ended", ""]),
        "cause": st.sampled_from(["", "lost", "node", "success", "cancelled", "nonsense"]),
        "seq": st.integers(0, 9),
        "type": st.sampled_from(["made", "started", "progress", "ended"]),
        "changes": st.dictionaries(CHANGES, TEXTS | st.integers(-2, 2**40) | st.none(), max_size=3),
        # A submission must be no danger to the host that the test runs on.
        "argv": st.sampled_from(COMMANDS),
        "cwd": st.just(work) | st.sampled_from([b"/nonexistent", b"relative", b"/" * 5000]),
        "output": st.sampled_from(FILES),
        "error": st.sampled_from(FILES),
        "input": st.sampled_from([*FILES, b"/dev/zero"]),
        "script": st.just(""),
        "notify": st.sampled_from(["", "ftp://x", "http://", "http://a b"]),
        "mail": st.sampled_from([[], ["x"], ["end"] * 9]),
        "request_id": st.text("abc", min_size=1, max_size=3),
        "kind": st.sampled_from(["batch", "run", "x"]),
        "hold": st.booleans(),
        "priority": st.integers(-1, 50),
        "rlimits": st.dictionaries(
            st.sampled_from(["as", "cpu", "nofile", "stack", "nproc", "x"]),
            st.sampled_from([-1, 0, 1, 64, 2**62, 2**63]),
            max_size=3,
        ),
    }


CHANGES = st.sampled_from(
    [
        "name",
        "priority",
        "time_limit",
        "not_before",
        "array_cap",
        "cpus",
        "memory",
        "nodelist",
        "partition",
        "after",
        "x",
    ]
)


def _many() -> Value:
    return st.sampled_from([["1"] * 2_000, ["1"] * 2_001, ["4_[0-9]"] * 2_000, ["x"] * 100_000])


def of_owner(work: bytes) -> Value:
    """Return requests of one who may do everything, and does nothing that would stop the rest."""
    pool = known(work)
    fields = Fields(pool)
    harmless = ("argv", "cwd", "output", "error", "input", "script", "notify", "mail")
    spec = fields.record(JobSpec, **{name: pool[name] for name in harmless})
    safe: dict[type, dict[str, Value]] = {
        # Each of these is a right of the owner's, and could stop what the bystander does.
        messages.Shutdown: {"how": pool["how"]},
        messages.Administer: {"changes": st.just([])},
        messages.NodeWordSet: {"nodes": pool["nodes"]},
        messages.Act: {"refs": pool["refs"]},
        messages.Modify: {"ref": pool["ref"]},
        # Sent often, as most are refused.
        messages.Submit: {"spec": spec, "request_id": pool["request_id"]},
    }
    kinds = [*typing.get_args(messages.Request), messages.Submit, messages.Submit]
    return st.one_of([fields.record(kind, **safe.get(kind, {})) for kind in kinds])


def of_agent(work: bytes) -> tuple[Value, Value]:
    """Return the greetings of an agent that should not be, and what it says after that."""
    pool = known(work)
    fields = Fields(pool)
    facts = fields.record(NodeFacts)
    told = {name: pool[name] for name in ("node", "version")} | {"facts": facts}
    hello = fields.record(messages.AgentHello, **told, boot_id=TEXTS)
    return hello, fields.record(messages.Report) | fields.record(messages.Heartbeat) | hello


def of_stranger(work: bytes) -> Value:
    """Return requests of one who may do little: so nothing is held back."""
    pool = known(work)
    refs = st.integers(0, 60).map(str)
    pool |= {
        "key": st.sampled_from(sorted(ATTRIBUTES)),
        "how": st.sampled_from(["refuse", "wait", "kill", "leave"]),
        "ref": refs | pool["ref"],
        "refs": st.lists(refs, min_size=1, max_size=30) | pool["refs"],
        "verb": st.sampled_from(["drain", "fence", "undrain"]) | pool["verb"],
    }
    fields = Fields(pool)
    kinds = typing.get_args(messages.Request | messages.FromAgent)
    return st.one_of([fields.record(kind) for kind in kinds])
