"""What counts under the limit that keeps a job waiting: what runs, and what waits before it."""

from msgspec import Struct

from ostler.schedule.limits import Bucket
from ostler.schedule.planner import Planner
from ostler.schedule.snapshot import WaitingView


class Limited(Struct, frozen=True):
    """Who is limited together with a job. bucket: None: all work of its user."""

    planner: Planner
    user: str
    bucket: Bucket | None

    def runs(self, number: int, user: str) -> bool:
        """Say whether an allocation of this number, of this user, counts under the limit."""
        claims = self.planner.picture.claims
        if self.bucket is None or claims is None:
            return user == self.user
        claim = claims.all.get(number)
        if claim is None:
            return False
        return self.bucket in claims.limits.buckets(claim.user, claim.project, claim.partition)

    def waits(self, other: WaitingView) -> bool:
        """Say whether the same limit keeps this one waiting, if anything is left under it or not."""
        claims = self.planner.picture.claims
        if self.bucket is None or claims is None:
            return other.user == self.user
        key = claims.limits.key(other.user, other.project, other.partition)
        return any(bucket == self.bucket for bucket, _ in key)


def limited(planner: Planner, entry: WaitingView) -> Limited:
    """Return who is limited together with an entry that waits by rule `limit`."""
    breach = planner.breach_of(entry)
    return Limited(planner, entry.user, None if breach is None else breach.bucket)
