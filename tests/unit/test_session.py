"""One client of the manager, and what is said to it."""

import asyncio
import socket

import msgspec

from ostler.manager.session import Client
from ostler.model.caller import Caller
from ostler.model.limits import MAX_FRAME
from ostler.wire import messages
from ostler.wire.conn import Connection

decode = msgspec.msgpack.Decoder(messages.ToClient).decode


def test_an_answer_too_large_for_a_frame_is_told_as_an_error() -> None:
    async def story() -> list[messages.ToClient]:
        ours, theirs = (Connection(sock) for sock in socket.socketpair())
        client = Client(ours, Caller(1001, 1001, "ann"))
        client.say(messages.Reply(7, {"text": "x" * MAX_FRAME}))
        client.say(messages.Reply(8, {}))
        told = [decode(await anext(theirs)) for _ in range(2)]
        ours.close()
        theirs.close()
        return told

    error, reply = asyncio.run(story())
    assert isinstance(error, messages.Failure)
    assert (error.id, error.code) == (7, "refused")
    assert reply == messages.Reply(8, {})
