"""The agent's connection to its manager: kept for ever, heard by heartbeats."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable

from ostler.agent.probe import load
from ostler.core.agent_words import (
    Acked,
    Connected,
    Connecting,
    Disconnected,
    Event,
    Ordered,
)
from ostler.model.errors import UsageError
from ostler.wire import messages
from ostler.wire.conn import Connection, connect

log = logging.getLogger("ostler.agent")

_RETRY_FIRST, _RETRY_MOST = 0.05, 1.0  # seconds
_QUICK_TRIES = 16  # as long as a manager takes to start, a socket that comes is found at once
_GREETING = 10.0  # seconds in which a manager must answer a greeting
_MISSED = 3  # heartbeats without which a manager counts as gone


class ManagerLink:
    """Connects, greets, passes on what comes, and begins again when it ends."""

    def __init__(
        self,
        state: str,
        feed: Callable[[Event], None],
        heard: Callable[[], None],
        contexts: Callable[[], Iterable[messages.ContextRow]],
    ) -> None:
        self._path = os.path.join(state, "sock")
        self._feed = feed
        self._heard = heard  # called at each heartbeat of the manager
        self._contexts = contexts  # returns what is held here
        self._loop = asyncio.get_running_loop()
        self._link: Connection | None = None
        self._welcomed = False  # by the manager of the present connection
        self._patience = _GREETING  # seconds of silence after which the link is closed
        self._silence: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._every = 0.0  # seconds between heartbeats
        self._logged = ""  # why the last connection ended
        self._load: Callable[[], float] = lambda: load(state)

    async def run(self) -> None:
        """Keep a manager; ends only when cancelled."""
        pause, tries = _RETRY_FIRST, 0
        while True:
            try:
                link = connect(self._path)
            except OSError:
                await asyncio.sleep(pause)
                tries += 1
                if tries > _QUICK_TRIES:
                    pause = min(2 * pause, _RETRY_MOST)
                continue
            tries = 0
            welcomed = await self._serve(link)
            pause = _RETRY_FIRST if welcomed else min(2 * pause, _RETRY_MOST)
            await asyncio.sleep(pause)

    async def _serve(self, link: Connection) -> bool:
        """Talk over one connection to its end; say whether the manager took us in."""
        self._link, self._patience, self._welcomed = link, _GREETING, False
        self._listen()
        link.offer(self._hear)
        try:
            self._feed(Connecting())
            async for payload in link:
                self._hear(payload)
        except (*messages.NO_MESSAGE, UsageError) as error:
            link.close(f"it sent what is no message: {error}")
        finally:
            link.close("the agent ends")
            self._link = None
            self._stop_timers()
            if self._welcomed or link.reason != self._logged:  # it may be full for days
                log.info("manager is gone", extra={"reason": link.reason})
            self._logged = link.reason
            self._feed(Disconnected())
        return self._welcomed

    def _hear(self, payload: bytes) -> bool:
        """Take a message; return True."""
        self._listen()
        self._take(messages.decode_to_agent(payload))
        return True

    def _take(self, message: messages.ToAgent) -> None:
        match message:
            case messages.Welcome():
                self._welcomed = True
                self._every = max(0.1, message.heartbeat)
                self._patience = _MISSED * self._every
                log.info("welcomed", extra={"epoch": message.epoch})
                self._feed(Connected(message.epoch))
                self._heard()
                self._send_beat()
            case messages.Orders():
                self._feed(Ordered(message.epoch, tuple(message.orders)))
            case messages.Ack():
                self._feed(Acked(message.seq))
            case messages.Heartbeat():
                self._heard()
            case messages.ContextsAsked(number=number):
                self.send(messages.ContextsHeld(number, list(self._contexts())))
            case messages.Failure(message=why):
                self.drop(f"it cannot take us in: {why}")

    def send(self, message: messages.FromAgent) -> None:
        """Send a message if there is a manager; what matters is sent again later."""
        if self._link is not None:
            self._link.send(messages.encode(message))

    def drop(self, reason: str) -> None:
        """Close the connection; another follows."""
        if self._link is not None:
            self._link.close(reason)

    def _send_beat(self) -> None:
        self.send(messages.Heartbeat(time.time(), self._load()))
        self._beat = self._loop.call_later(self._every, self._send_beat)

    def _listen(self) -> None:
        """Begin the wait for the next word anew."""
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self._loop.call_later(
            self._patience, self.drop, f"it was silent for {self._patience:g} s"
        )

    def _stop_timers(self) -> None:
        for timer in (self._silence, self._beat):
            if timer is not None:
                timer.cancel()
        self._silence = self._beat = None
