"""A WIKI simulator from the command line: orders come in on its input, answers go out as JSON."""

import argparse
import json
import sys

from ostler.testing.wiki_rm import SimJob
from ostler.testing.wiki_sim import Fault, WikiSim

_HELP = {
    "add ID SECONDS [TASKS [USER]]": "a user submits a job",
    "invent ID SECONDS NODE...": "a job runs that nobody asked for",
    "lose ID": "a job is forgotten",
    "rename NODE NAME": "a node has another name",
    "state NODE [WORD]": "a node is Down, Drained ...; without a word, as its jobs make it",
    "fail VERB FAULT [TIMES]": "answers go wrong; VERB: GETJOBS ... or *; FAULT: "
    + " ".join(Fault),
    "mend": "nothing goes wrong any more",
    "jobs": "print all jobs",
}


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(prog="wiki_sim", description="A simulated WIKI server.")
    parser.add_argument("--nodes", default="n1:4,n2:4", help="NAME:CPUS,...")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", type=lambda text: int(text, 0), default=42, help="-1: unsigned")
    parser.add_argument("--late", type=float, default=3.0, help="seconds of the fault `late`")
    asked = parser.parse_args()
    nodes = {
        name: int(cpus) for name, _, cpus in (n.partition(":") for n in asked.nodes.split(","))
    }
    key = None if asked.key < 0 else asked.key
    with WikiSim(nodes, key=key, port=asked.port, late=asked.late) as sim:
        _say({"port": sim.port})
        for line in sys.stdin:
            try:
                _say(_obey(sim, line.split()))
            except (KeyError, ValueError) as error:
                _say({"error": f"{type(error).__name__}: {error}"})


def _obey(sim: WikiSim, words: list[str]) -> object:
    match words:
        case ["add", name, seconds, *rest]:
            tasks, user = int(rest[0]) if rest else 1, rest[1] if len(rest) > 1 else "ann"
            sim.add(SimJob(name, float(seconds), user=user, tasks=tasks))
        case ["invent", name, seconds, *nodes]:
            sim.invent(SimJob(name, float(seconds), tasks=len(nodes)), *nodes)
        case ["lose", name]:
            sim.lose(name)
        case ["rename", node, name]:
            sim.rename(node, name)
        case ["state", node, *word]:
            with sim.lock:
                sim.rm.nodes[node].state = word[0] if word else ""
        case ["fail", verb, fault, *times]:
            sim.fail(verb, Fault(fault), int(times[0]) if times else None)
        case ["mend"]:
            sim.mend()
        case ["jobs"]:
            with sim.lock:
                told = [(j.id, j.state, j.nodes, j.starts) for j in sim.rm.jobs.values()]
            return [dict(zip(("id", "state", "nodes", "starts"), row, strict=True)) for row in told]
        case _:
            return _HELP
    return {"done": words[0]}


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
