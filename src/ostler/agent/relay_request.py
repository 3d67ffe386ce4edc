"""What the agent asks for when a share's streams are to be held."""

from ostler.model.job import Streams
from ostler.model.orders import Launch
from ostler.wire.streams import relay_name


def relay_request(launch: Launch) -> dict[str, object]:
    """Return what the relay of a share's streams is to hold, as `relay_order.Order` reads it."""
    streams = launch.streams or Streams()
    return {
        "name": relay_name(launch.job, launch.step),
        "uid": launch.uid,
        "gid": launch.gid,
        "user": launch.user,
        "tasks": launch.total_tasks,
        "first_rank": min(launch.ranks, default=launch.placement.first_rank),
        "stdin": launch.stdin,
        "keep": launch.detach,
        "label": streams.label,
        "window": streams.window,
    }
