"""As whom a scheduler runs that is no part of Ostler, and what is told when it fails."""

import asyncio
import os

import pytest

from ostler.manager.outsider import Outsider
from ostler.manager.run_as import Place
from ostler.model.errors import Refused
from ostler.model.site import Scheduler

WHO = "/bin/sh -c 'read -r line; id -un; read -r line'"


async def asked(row: Scheduler, place: Place) -> bytes:
    outsider = Outsider(row, place)
    try:
        await outsider.start()
        return (await outsider.ask(b"{}"))[0]
    finally:
        await outsider.end()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("system", "user"), [(True, "nobody"), (False, "root")])
def test_on_a_system_machine_it_is_nobody_unless_told(*, system: bool, user: str) -> None:
    found = asyncio.run(asked(Scheduler("s", WHO), Place("/tmp", system=system)))
    assert found.decode().strip() == user


@pytest.mark.skipif(os.geteuid() == 0, reason="root can become somebody else")
def test_who_cannot_become_another_is_told_what_was_to_run() -> None:
    place = Place("/tmp", system=False)
    with pytest.raises(Refused, match="only root can run a scheduler as root"):
        asyncio.run(asked(Scheduler("s", WHO, "root"), place))


def test_what_it_wrote_last_is_told_when_it_fails() -> None:
    async def fails() -> str:
        outsider = Outsider(
            Scheduler("s", "/bin/sh -c 'read -r line; echo no licence >&2; exit 3'"),
            Place("/tmp", system=False),
        )
        try:
            await outsider.start()
            await outsider.ask(b"{}")
        except EOFError as error:
            await asyncio.sleep(0)
            return outsider.why(error)
        finally:
            await outsider.end()
        return ""

    assert asyncio.run(fails()).startswith("it ended with status 3")
