"""What is free on a node: the only place where CPUs, memory and GPUs are taken and given back."""

from ostler.model.errors import Refused
from ostler.model.resources import NodeFacts, Placement


class Books:
    """Free resources of one node. CPUs and GPUs are named, the rest is counted."""

    __slots__ = ("cpus", "facts", "generic", "gpus", "memory")

    def __init__(self, facts: NodeFacts) -> None:
        self.facts = facts
        self.cpus = set(facts.cpus)
        self.gpus = set(facts.gpus)
        self.memory = facts.memory
        self.generic = dict(facts.generic)

    def lacks(self, place: Placement) -> str:
        """Return what of the placement is not free, as one phrase; empty when all of it is."""
        if taken := set(place.cpus) - self.cpus:
            return f"CPU {min(taken)} of {place.node} is not free"
        if taken := set(place.gpus) - self.gpus:
            return f"GPU {min(taken)} of {place.node} is not free"
        if place.memory and place.memory > self.memory:  # what is free may be below 0
            return f"{place.node} has {self.memory} bytes of memory free, not {place.memory}"
        for name, count in place.generic.items():
            if count > self.generic.get(name, 0):
                return f"{place.node} has {self.generic.get(name, 0)} {name} free, not {count}"
        return ""

    def take(self, place: Placement) -> None:
        """Take all of it; raise `Refused` and take nothing if something is not free."""
        if missing := self.lacks(place):
            raise Refused(missing)
        self.force(place)

    def force(self, place: Placement, *, cpus: bool = True) -> None:
        """Take it whatever is free: for what already runs there, known from the database."""
        if cpus:
            self.cpus.difference_update(place.cpus)
        self.gpus.difference_update(place.gpus)
        self.memory -= place.memory
        for name, count in place.generic.items():
            self.generic[name] = self.generic.get(name, 0) - count

    def give(self, place: Placement, *, cpus: bool = True) -> None:
        """Give it back; what the node no longer has does not come back."""
        if cpus:
            self.give_cpus(place)
        self.gpus.update(set(place.gpus).intersection(self.facts.gpus))
        self.memory += place.memory
        for name, count in place.generic.items():
            self.generic[name] = self.generic.get(name, 0) + count

    def give_cpus(self, place: Placement) -> None:
        """Give back only the CPUs, as a suspended allocation does."""
        self.cpus.update(set(place.cpus).intersection(self.facts.cpus))

    def take_cpus(self, place: Placement) -> bool:
        """Take the very same CPUs again, or none of them; say whether it was done."""
        if not self.cpus.issuperset(place.cpus):
            return False
        self.cpus.difference_update(place.cpus)
        return True
