"""Requests as events that need nothing but what was asked: no job is looked up for them."""

from ostler.core.events import (
    Administered,
    ConfigurationUsed,
    DealtWith,
    Event,
    NodesWorded,
    PartitionWorded,
    Posted,
    ShutdownAsked,
    Subscribed,
)
from ostler.model.caller import Caller
from ostler.model.errors import UsageError
from ostler.wire import messages

_MOST = 1_000  # characters of a reason


def event_of(message: messages.Request, caller: Caller, to: int) -> Event | None:
    """Return the event of such a request; None: it is none of these. to: where the answer goes."""
    match message:
        case messages.NodeWordSet(verb=verb, nodes=nodes, reason=reason, features=features):
            known = None if features is None else tuple(features)
            return NodesWorded(to, caller, verb, tuple(nodes), reason[:_MOST], known)
        case messages.Deal(serial=serial, note=note):
            return DealtWith(to, caller, serial, note)
        case messages.Subscribe(name=name, serial=serial, forget=forget):
            return Subscribed(to, caller, name, serial, forget)
        case messages.Administer(changes=changes, dry=dry, serial=serial, request_id=name):
            return Administered(to, caller, tuple(changes), dry, serial, name)
        case messages.Post(kind=kind, object=about, text=text, request_id=name):
            return Posted(to, caller, kind, about, text, name)
        case messages.UseConfiguration(name=name, dry=dry):
            return ConfigurationUsed(to, caller, name, dry)
        case messages.PartitionWord(verb=verb, name=name, how=how):
            return PartitionWorded(to, caller, verb, name, how)
        case messages.Shutdown(how=how):
            return ShutdownAsked(to, caller, how)
        case _:
            return None


def takes_long(message: messages.Request) -> bool:
    """Say whether the answer may come much later, while its client asks for other things."""
    waits = isinstance(message, messages.PartitionWord) and message.how in ("wait", "kill")
    return waits or isinstance(message, messages.Wait)


def decode(payload: bytes) -> messages.Request | messages.FromAgent:
    """Return the message of a frame; raise `UsageError` if it is none."""
    try:
        message: messages.Request | messages.FromAgent = messages.decode_request(payload)
    except messages.NO_MESSAGE as error:
        raise UsageError(f"the message makes no sense: {error}") from None
    return message
