"""Checks of what jobs do: statuses, limits, several nodes, dependencies, suspension."""

from lab.kit import Check, Ground, equal, expect


def statuses(at: Ground) -> None:
    """The exit status of `run` is the job's, or says what ended it."""
    wanted: list[tuple[int, list[str]]] = [
        (1, ["false"]),
        (48, ["-n", "2", "sh", "-c", "exit $((16 << OSTLER_RANK))"]),
        (48, ["-N", "2", "-n", "2", "sh", "-c", "exit $((16 << OSTLER_RANK))"]),
        (137, ["sh", "-c", "kill -9 $$"]),
        (127, ["nosuch"]),
        (125, ["-t", "2s", "sleep", "100"]),
    ]
    for status, words in wanted:
        found, said = at.status("run", *words)
        equal(f"`run {' '.join(words)}` exits with {status}: {said.strip()}", found, status)


def memory(at: Ground) -> None:
    """A task above its memory limit is ended as `memory`."""
    hog = "b = bytearray(1 << 30)\nfor i in range(0, len(b), 4096): b[i] = 1"
    status, said = at.status("run", "-m", "100M", "python3", "-c", hog)
    equal("a hog exits with 125", status, 125)
    expect("the sentence names the memory", "memory" in said, said)


def too_large(at: Ground) -> None:
    """What no node can ever hold is refused with the most that would fit."""
    status, said = at.status("submit", "-c", "100000", "--", "true")
    equal("it is refused", status, 3)
    expect("the most is told", "most: 4 on" in said, said)
    status, said = at.status("submit", "-m", "20G", "--", "true")
    equal("20 GiB on one node are refused", status, 3)


def several_nodes(at: Ground) -> None:
    """A job of ten nodes has its tasks on ten nodes, each with its own rank."""
    done = at.lab.ostler(
        "run", "-N", "10", "-n", "20", "sh", "-c", "echo $OSTLER_NODE $OSTLER_RANK"
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    equal("nodes", {node for node, _ in lines}, set(at.nodes))
    equal("ranks", sorted(int(rank) for _, rank in lines), list(range(20)))


def blocked_run(at: Ground) -> None:
    """A `run` on a full machine waits, starts when CPUs are free, and leaves nothing queued."""
    full = [at.gated("-N", "1", "-c", "4").running() for _ in at.nodes]
    waits = at.gated("-c", "4")
    equal("it waits for CPUs", at.lab.json("explain", waits.id)["rule"], "resources")
    full[3].open()
    waits.running()
    for job in (*full[:3], *full[4:], waits):
        job.open()
        equal("it ends well", job.ended(), ("success", 0))
    equal("nothing is queued", at.lab.json("jobs")["jobs"], [])


def partition_of_four(at: Ground) -> None:
    """Sixteen CPUs hold four jobs of four; the fifth waits."""
    jobs = [at.gated("-c", "4", "-w", "n[01-04]") for _ in range(5)]
    for job in jobs[:4]:
        job.running()
    equal("the fifth waits", at.lab.job(jobs[4].id)["state"], "pending")
    jobs[0].open()
    jobs[4].running()
    for job in jobs[1:]:
        job.open()


def limit_of_a_user(at: Ground) -> None:
    """Above a limit at once: refused, and never queued; above it with others: it waits."""
    at.lab.ostler("config", "set", "max-cpus-per-user", "8")
    before = len(at.sql("select id from jobs"))
    for _ in range(10):
        equal("nine CPUs are refused", at.status("submit", "-n", "9", "--", "true")[0], 3)
    equal("none was entered", len(at.sql("select id from jobs")), before)
    held = at.gated("-c", "4", "-n", "2").running()
    waits = at.gated()
    equal("one more waits by the limit", at.lab.json("explain", waits.id)["rule"], "limit")
    held.open()
    waits.running().open()


def dependencies(at: Ground) -> None:
    """ok, any and fail start or end what depends on a job that failed."""
    first = at.gated("-w", "n01", code=3).running()
    after = {kind: at.quick("--after", f"{first.id}:{kind}") for kind in ("ok", "any", "fail")}
    rules = {at.lab.json("explain", ident)["rule"] for ident in after.values()}
    equal("all wait for it", rules, {"dependency"})
    first.open()
    results = {kind: at.lab.wait_for(i, "done")["result"] for kind, i in after.items()}
    equal("results", results, {"ok": "dependency", "any": "success", "fail": "success"})


def suspension(at: Ground) -> None:
    """A suspended job of two nodes stands still on both, gives up its CPUs and gets them back."""
    folder = at.folder()
    script = f"while :; do echo >>{folder}/$OSTLER_NODE; sleep 0.02; done"
    job = at.quick("-N", "2", "-n", "2", "-c", "4", script=script)
    at.within(20, "both tasks run", lambda: len(list(folder.iterdir())) == 2)
    at.lab.wait_for(job, "running")
    at.lab.ostler("suspend", job)
    at.lab.wait_for(job, "suspended")

    def sizes() -> list[int]:
        return sorted(path.stat().st_size for path in folder.iterdir())

    last: list[list[int]] = [[]]

    def still() -> bool:
        last.append(sizes())
        return last[-1] == last[-2] == last[max(0, len(last) - 20)]

    at.within(20, "neither writes any more", still)
    free = sum(row["free_cpus"] for row in at.lab.nodes().values())
    equal("all CPUs are free", free, 4 * len(at.nodes))
    before = sizes()
    at.lab.ostler("resume", job)
    at.within(20, "both write again", lambda: all(map(int.__gt__, sizes(), before)))
    at.lab.ostler("cancel", job)
    equal("it is cancelled", at.lab.wait_for(job, "done")["result"], "cancelled")


CHECKS = [
    Check("exit statuses", "issue 3", statuses),
    Check("memory limit", "issue 3", memory),
    Check("more than any node has", "issue 3, R-RMS-16", too_large),
    Check("a job of ten nodes", "lab", several_nodes),
    Check("a partition of four nodes", "R-RMS-16", partition_of_four),
    Check("the limit of a user", "R-RMS-17", limit_of_a_user),
    Check("a full machine blocks", "R-RMS-18", blocked_run),
    Check("dependencies", "issue 3", dependencies),
    Check("suspend and resume", "issue 3", suspension),
]
