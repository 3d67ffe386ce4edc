"""Fair share: who has used how much, with time forgetting, and who has used least of its part.

Use halves every half-life. Each account has one stamp: its use is worked out when it is read, and
what runs is counted as it runs, so nothing is walked through periodically.
The factor is Fair Tree's. Source: Cox and Morrison, "Fair Tree Fairshare Algorithm" (Slurm's
documentation): siblings are compared level by level, so all of a project that has used less of its
share come before all of one that has used more; what is left is a rank, which no rounding blurs.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from math import expm1, inf, log
from operator import attrgetter

from msgspec import Struct

from ostler.model.resources import Placement
from ostler.schedule.rules import Project, ShareRules

Account = tuple[str, str]  # project and user
_LN2 = log(2)
_GIB = 1 << 30


def rate(rules: ShareRules, places: Iterable[Placement]) -> float:
    """Return what a second of these places costs."""
    return sum(
        rules.cpu * len(place.cpus)
        + rules.memory * place.memory / _GIB
        + rules.gpu * len(place.gpus)
        for place in places
    )


def kept(seconds: float, half_life: float) -> float:
    """Return which part of use is left after so many seconds. half_life 0: all of it."""
    return 2.0 ** (-seconds / half_life) if half_life else 1.0


def gathered(seconds: float, half_life: float) -> float:
    """Return the use of one that used 1 a second for so long, as it counts at the end."""
    if not half_life:
        return seconds
    return -expm1(-_LN2 * seconds / half_life) * half_life / _LN2


class _Use(Struct):
    at: float  # Unix seconds
    amount: float = 0.0  # as it counts then
    rate: float = 0.0  # a second, of what runs
    running: int = 0  # allocations

    def forward(self, now: float, half_life: float) -> None:
        past = max(0.0, now - self.at)  # the clock may have been set back
        self.amount = self.amount * kept(past, half_life) + self.rate * gathered(past, half_life)
        self.at = max(self.at, now)


class Ledger:
    """The use of every user in every project."""

    def __init__(self, rules: ShareRules) -> None:
        self.rules = rules
        self._uses: dict[Account, _Use] = {}
        self._running: dict[int, tuple[Account, float]] = {}  # and what a second of each costs

    def change(self, rules: ShareRules, now: float) -> None:
        """Go on by other rules; what was used until now counts as it did."""
        for account in self._uses:
            self._at(account, now)
        self.rules = rules

    def start(self, alloc: int, account: Account, cost: float, now: float) -> None:
        """Note that an allocation begins to run, or goes on, that costs so much a second."""
        if alloc in self._running:
            return
        self._running[alloc] = account, cost
        use = self._at(account, now)
        use.rate += cost
        use.running += 1

    def stop(self, alloc: int, now: float) -> None:
        """Note that it has ended, or stands still."""
        if alloc not in self._running:
            return
        account, cost = self._running.pop(alloc)
        use = self._at(account, now)
        use.running -= 1
        use.rate = max(0.0, use.rate - cost) if use.running else 0.0  # no rounding is left over

    def charge(self, account: Account, cost: float, begin: float, end: float) -> None:
        """Add something that ran from begin to end, as `start` and `stop` would have."""
        use = self._at(account, end)
        spent = cost * gathered(max(0.0, end - begin), self.rules.half_life)
        use.amount += spent * kept(use.at - end, self.rules.half_life)

    def used(self, account: Account, now: float) -> float:
        """Return the use of an account as it counts now, in the units of `rate` x seconds."""
        return self._at(account, now).amount if account in self._uses else 0.0

    def factors(self, accounts: Iterable[Account], now: float) -> dict[Account, float]:
        """Return the factor of each of these, and of all that have used anything: 0 to 1."""
        known = dict.fromkeys([*self._uses, *accounts])
        return fair_tree(self.rules, {account: self.used(account, now) for account in known})

    def _at(self, account: Account, now: float) -> _Use:
        use = self._uses.get(account)
        if use is None:
            use = self._uses[account] = _Use(now)
        use.forward(now, self.rules.half_life)
        return use


class _Branch:
    """A project or a user in the tree."""

    __slots__ = ("account", "children", "level", "shares", "use")

    def __init__(self, shares: int, account: Account | None = None, use: float = 0.0) -> None:
        self.shares = shares
        self.account = account  # None: a project
        self.use = use
        self.children: list[_Branch] = []
        self.level = 0.0  # share / use among siblings: the higher, the less it had of its part


def fair_tree(rules: ShareRules, uses: Mapping[Account, float]) -> dict[Account, float]:
    """Return rank / count for each account, the first one's rank being the count.

    Equals share a rank: their children are ranked together as if they were of one project. Of a
    user and a project that are equal, the user comes first.
    """
    factors: dict[Account, float] = {}
    waiting = _equals(_tree(rules, uses).children)  # groups, the next one last
    while waiting:
        group = waiting.pop()
        members = [branch.account for branch in group if branch.account is not None]
        rank = len(uses) - len(factors)
        factors |= dict.fromkeys(members, rank / len(uses))
        waiting += _equals([child for branch in group for child in branch.children])
    return factors


def _equals(siblings: list[_Branch]) -> list[list[_Branch]]:
    """Return groups of equals, the best one last."""
    ordered = sorted(siblings, key=attrgetter("level"))
    return [list(group) for _, group in groupby(ordered, key=attrgetter("level"))]


def _tree(rules: ShareRules, uses: Mapping[Account, float]) -> _Branch:
    """Return the root of the tree that has these accounts."""
    parents = _parents(rules.projects)
    shares = {project.name: project.shares for project in rules.projects}
    members = {(member.project, member.user): member.shares for member in rules.members}
    root = _Branch(1)
    projects: dict[str, _Branch] = {}
    for account, use in uses.items():
        below = _Branch(members.get(account, 1), account, use)
        new = True  # below has no parent yet
        for name in _upwards(parents, account[0]):
            known = projects.get(name)
            branch = known or projects.setdefault(name, _Branch(shares.get(name, 1)))
            branch.use += use
            if new:
                branch.children.append(below)
            below, new = branch, known is None
        if new:
            root.children.append(below)
    for branch in (root, *projects.values()):
        _compare(branch.children)
    return root


def _parents(projects: Iterable[Project]) -> dict[str, str]:
    """Return the project above each that has one. Where they go in a circle, it is cut."""
    parents: dict[str, str] = {}
    for project in projects:
        if project.parent and project.name not in _upwards(parents, project.parent):
            parents[project.name] = project.parent
    return parents


def _upwards(parents: Mapping[str, str], name: str) -> list[str]:
    """Return the project and those above it."""
    found = [name]
    while (above := parents.get(found[-1])) is not None:
        found.append(above)
    return found


def _compare(siblings: list[_Branch]) -> None:
    """Work out how each one's use compares with its shares.

    Nine digits count: use that is equal but for rounding is equal.
    """
    shares = sum(branch.shares for branch in siblings)
    use = sum(branch.use for branch in siblings)
    for branch in siblings:
        if not branch.shares:
            branch.level = 0.0
        elif not branch.use:
            branch.level = inf
        else:
            branch.level = float(f"{branch.shares / shares * use / branch.use:.9g}")
