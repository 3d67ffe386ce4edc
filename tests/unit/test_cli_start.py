"""How the `ostler` script loads modules: as Python does, and without a search."""

import importlib.util
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest

from ostler.cli import start
from ostler.cli.start import Finder, Loader
from tests.unit.scripted import ROAD

SOURCE = ROAD.parents[2]
LISTED = """
import os, posix, sys
sys.addaudithook(lambda event, args: event == "os.listdir" and posix.write(2, b"%s\\n" % os.fsencode(args[0])))
path = sys.argv[1]
sys.argv[:] = [path, *sys.argv[2:]]
exec(compile(open(path).read(), path, "exec"), {"__name__": "__main__", "__file__": path})
"""


@pytest.fixture(autouse=True)
def compiled_files_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # whatever PYTHONDONTWRITEBYTECODE says


def modules() -> list[str]:
    files = (f.relative_to(SOURCE).with_suffix("") for f in SOURCE.glob("ostler/**/*.py"))
    return [".".join(f.parts).removesuffix(".__init__") for f in files]


def module(root: Path, text: str = "value = 1\n") -> Path:
    """Make a module `ostlers.small.one`."""
    folder = root / "ostlers" / "small"
    folder.mkdir(parents=True)
    file = folder / "one.py"
    file.write_text(text)
    return file


def spec_of(file: Path) -> ModuleSpec:
    spec = Finder(str(file.parents[2])).find_spec("ostlers.small.one", [str(file.parent)])
    assert spec is not None
    return spec


def code_of(file: Path) -> CodeType:
    loader = spec_of(file).loader
    assert isinstance(loader, Loader)
    code = loader.get_code("ostlers.small.one")
    assert code is not None
    return code


def value(file: Path) -> object:
    spec = spec_of(file)
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found.value


def pyc(file: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(file)))


def test_every_module_is_found_as_python_finds_it() -> None:
    finder = Finder(str(SOURCE))
    names = modules()
    assert len(names) > 300
    passed = []
    for name in names:
        parent = name.rpartition(".")[0]
        path = [str(SOURCE / parent.replace(".", "/"))] if parent else None
        found, wanted = (
            finder.find_spec(name, path),
            PathFinder.find_spec(name, path or [str(SOURCE)]),
        )
        assert wanted is not None
        if found is None:
            passed.append(name)
            continue
        for key in ("name", "origin", "cached", "has_location", "parent"):
            assert getattr(found, key) == getattr(wanted, key)
        assert found.submodule_search_locations == wanted.submodule_search_locations
        assert found.loader is not None
        assert vars(found.loader).items() >= vars(wanted.loader).items()
    # Packages of the third level are left to Python; no everyday command loads one.
    assert all((SOURCE / name.replace(".", "/")).is_dir() for name in passed)
    assert len(passed) < 10


def test_what_is_not_there_or_not_ours_is_left_to_others(tmp_path: Path) -> None:
    finder = Finder(str(tmp_path))
    assert finder.find_spec("ostler") is None
    assert finder.find_spec("ostler.cli.nothing", [str(SOURCE / "ostler" / "cli")]) is None
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "__init__.py").touch()
    assert finder.find_spec("json") is None


def test_compiled_code_is_read_without_the_longer_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = module(tmp_path)
    assert value(file) == 1
    monkeypatch.setattr(SourceFileLoader, "get_code", None)
    assert value(file) == 1


@pytest.mark.parametrize("text", ["value = 22\n", "value = 2\n"])
def test_a_source_that_has_changed_is_compiled_anew(tmp_path: Path, text: str) -> None:
    file = module(tmp_path)
    assert value(file) == 1
    info = file.stat()
    file.write_text(text)
    seconds = 0 if len(text) != info.st_size else 2
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns + seconds * 10**9))
    assert value(file) == int(text.rpartition(" ")[2])
    before = pyc(file).read_bytes()
    assert value(file) == int(text.rpartition(" ")[2])
    assert pyc(file).read_bytes() == before  # and kept for the next command


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "garbage", "version", "hash"])
def test_a_pyc_file_of_no_use_is_no_failure(tmp_path: Path, how: str) -> None:
    file = module(tmp_path)
    assert value(file) == 1
    whole = pyc(file).read_bytes()
    spoilt = {
        "empty": b"",
        "cut": whole[:15],
        "garbage": bytes(range(256)),
        "version": bytes(4) + whole[4:],
        "hash": whole[:4]
        + b"\x01"
        + bytes(3)
        + importlib.util.source_hash(file.read_bytes())
        + whole[16:],
    }
    if how == "missing":
        pyc(file).unlink()
    else:
        pyc(file).write_bytes(spoilt[how])
    assert value(file) == 1


def test_a_large_pyc_file_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = module(tmp_path)
    assert value(file) == 1
    monkeypatch.setattr(start, "_LARGEST", len(pyc(file).read_bytes()) - 1)
    assert value(file) == 1


def test_code_names_the_file_where_it_is_and_not_where_it_was_compiled(tmp_path: Path) -> None:
    file = module(tmp_path / "before")
    assert code_of(file).co_filename == str(file)
    (tmp_path / "before").rename(tmp_path / "after")
    moved = tmp_path / "after" / file.relative_to(tmp_path / "before")
    assert code_of(moved).co_filename == str(moved)


def test_a_command_lists_no_folder_of_ours_to_find_its_modules() -> None:
    words = ["-SEI", "-c", LISTED, str(ROAD), "--state", "/nonexistent", "jobs"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    listed = [line for line in done.stderr.splitlines() if line.startswith("/")]
    assert not [folder for folder in listed if Path(folder).is_relative_to(SOURCE)]
    assert "no machine is up" in done.stderr
