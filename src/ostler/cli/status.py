"""`ostler status`: what the machine has and does."""

from typing import Any

from ostler.cli.ask import call
from ostler.cli.awaited import awaited_text
from ostler.cli.options import Given
from ostler.cli.output import cell, json_text, say
from ostler.model.nodeset import in_short
from ostler.model.units import format_size

Status = dict[str, Any]

NO_LONGER = "interrupt `ostler down`, and use --leave not to wait"
_MANY = 10  # nodes from which on they are not shown one by one


def main(given: Given) -> int:
    """Print the status."""
    document = call(given, "read", what="status")
    say(json_text(document) if given.flag("json") else status_text(document))
    return 0


def status_text(status: Status) -> str:
    """Return the status for a person."""
    processes = status.get("processes") or {}
    pids = ", ".join(f"{name} {pid}" for name, pid in processes.items() if pid)
    counts = ", ".join(f"{n} {state}" for state, n in (status.get("jobs") or {}).items())
    text = machine_text(status)
    if drivers := status.get("drivers"):
        text += f"\n  drivers    up: {drivers['up']}, down: {drivers['down']}"
    text += f"\n  processes  {pids}\n  jobs       {counts or 'none'}"
    machine = status.get("machine") or {}
    if machine.get("stopping"):
        awaited = awaited_text(machine.get("awaited") or [], NO_LONGER)
        text += f"\n  stopping   {awaited or 'nothing more starts; `ostler up` after that'}"
    return text


def machine_text(status: Status) -> str:
    """Return what the machine has, and what it cannot enforce and why."""
    nodes = status.get("nodes") or []
    lines = [f"up at {status.get('state')}"]
    lines += _summary(nodes) if len(nodes) > _MANY else [_node(each) for each in nodes]
    told = status.get("shortcomings") or []
    for i, text in enumerate(told):
        lines.append(f"  {'cannot' if i == 0 else '':<9}  {text}")
    return "\n".join(lines)


def _node(node: Status) -> str:
    trouble = _trouble(node)
    return f"  node       {node.get('name')}: {_sizes(node)}{trouble and f', {trouble}'}"


def _summary(nodes: list[Status]) -> list[str]:
    """Return what many nodes have together, and by name which of them take no work."""
    total = {key: sum(each.get(key) or 0 for each in nodes) for key in ("cpus", "memory", "gpus")}
    lines = [f"  nodes      {len(nodes)}: {_sizes(total)}"]
    names: dict[str, list[str]] = {}
    for each in nodes:
        if trouble := _trouble(each):
            names.setdefault(trouble, []).append(str(each.get("name")))
    return lines + [f"  {'':<9}  {in_short(found)}: {trouble}" for trouble, found in names.items()]


def _trouble(node: Status) -> str:
    """Return why a node takes no work, as far as its status and an administrator's word say."""
    state, word = str(node.get("status")), str(node.get("word", "in"))
    return ", ".join([*[state] * (state != "running"), *[word] * (word != "in")])


def _sizes(node: Status) -> str:
    parts = [_count(node.get("cpus"), "CPU"), f"{format_size(node.get('memory') or 0)} memory"]
    parts.append(_count(node.get("gpus"), "GPU") if node.get("gpus") else "no GPU")
    parts += [f"{n} {cell('', name)}" for name, n in (node.get("generic") or {}).items()]
    features = node.get("features")
    parts += [f"features {','.join(features)}"] if features else []
    return ", ".join(parts) + (" (declared)" if node.get("declared") else "")


def _count(n: object, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n or 0} {noun}s"
