"""Which state folder is meant."""

from pathlib import Path

import pytest

from ostler.client import place


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ("/a/b", {b"OSTLER_STATE": b"/c"}, "/a/b"),
        ("/a//b/./", {}, "/a/b"),
        (None, {b"OSTLER_STATE": b"/c", b"HOME": b"/h"}, "/c"),
        (None, {b"XDG_STATE_HOME": b"/x", b"HOME": b"/h"}, "/x/ostler"),
        (None, {b"XDG_STATE_HOME": b"relative", b"HOME": b"/h"}, "/h/.local/state/ostler"),
        (None, {b"HOME": b"/h"}, "/h/.local/state/ostler"),
        (None, {b"HOME": b"/h\xe9"}, "/h\udce9/.local/state/ostler"),
    ],
)
def test_the_folder_is_found_in_this_order(
    given: str | None, environ: dict[bytes, bytes], expected: str
) -> None:
    assert place.find_state(given, environ, new=True) == expected


def test_a_relative_folder_counts_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert place.find_state("x", {}) == f"{tmp_path}/x"


def test_without_home_the_password_file_tells() -> None:
    assert place.find_state(None, {}, new=True).endswith("/.local/state/ostler")


def test_the_systems_machine_is_taken_where_the_user_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "system"
    own = tmp_path / "ostler"
    monkeypatch.setattr(place, "SYSTEM_STATE", str(system))
    environ = {b"XDG_STATE_HOME": bytes(tmp_path)}
    assert place.find_state(None, environ) == str(own)
    for folder in (system, own):
        folder.mkdir()
    (system / "sock").touch()
    assert place.find_state(None, environ) == str(system)
    assert place.find_state(None, environ, new=True) == str(own)
    (own / "sock").touch()
    assert place.find_state(None, environ) == str(own)
    assert place.find_state(None, environ, new=True, system=True) == str(system)


def test_a_machine_for_all_users_is_made_where_the_other_commands_will_look_for_it() -> None:
    environ = {b"OSTLER_STATE": b"/c", b"HOME": b"/h"}
    assert place.find_state(None, environ, new=True, system=True) == "/c"
    assert place.find_state("/a", environ, new=True, system=True) == "/a"
