"""Requests that come again because their answer was lost: the database knows what it was."""

from typing import Any

from msgspec import json

from ostler.core.events import Administered, Event, Posted
from ostler.manager.history import named
from ostler.store.protocol import Store


def answer_again(store: Store, event: Event) -> dict[str, Any] | None:
    """Return what this very request was answered before; None: it comes for the first time."""
    match event:
        case Posted(caller=caller, request_id=name) if name:
            row = store.find_post(name, caller.uid)
            return None if row is None else {"events": [named(row)]}
        case Administered(caller=caller, request_id=name) if name:
            answer = store.find_answered(name, caller.uid)
            return None if answer is None else json.decode(answer, type=dict[str, Any])
        case _:
            return None
