"""The repository keeps its own promises: launcher, make targets, sizes."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "scripts" / "ostler"
PACKAGES = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
MAX_LINES = 400
MAX_FUNCTION_LINES = 60

ROAD = "import sys; print(__file__, sys.flags.no_site, sys.flags.isolated, *sys.argv[1:])\n"
Prefix = Path
Layout = Callable[[Prefix], Path]


def road_in(folder: Path) -> Path:
    road = folder / "ostler" / "cli" / "road.py"
    road.parent.mkdir(parents=True)
    road.write_text(ROAD)
    return road


def installed(prefix: Prefix) -> Path:
    return road_in(prefix / PACKAGES)


def installed_beside_libraries_of_64_bits(prefix: Prefix) -> Path:
    (prefix / PACKAGES / "click").mkdir(parents=True)  # for every platform, which we are not
    return road_in(prefix / PACKAGES.replace("lib", "lib64", 1))


def editable_in(pth: str, end: str) -> Layout:
    def editable(prefix: Prefix) -> Path:
        (prefix / PACKAGES).mkdir(parents=True)
        source = prefix / "check out" / "src"
        (prefix / PACKAGES / pth).write_text(f"{source}{end}")
        return road_in(source)

    return editable


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    """An installation with a launcher and a Python, and no package yet."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "ostler").write_bytes(LAUNCHER.read_bytes())
    (binaries / "ostler").chmod(0o755)
    (binaries / "python3").symlink_to(sys.executable)
    return tmp_path


def run(*command: str | Path, **options: str | Path) -> subprocess.CompletedProcess[str]:
    cwd = options.get("cwd")
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=30)


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(installed, id="installed"),
        pytest.param(installed_beside_libraries_of_64_bits, id="installed by Red Hat's Python"),
        pytest.param(editable_in("_editable_impl_ostler.pth", ""), id="editable"),
        pytest.param(editable_in("_ostler.pth", "\n"), id="editable by an older hatchling"),
    ],
)
def test_the_launcher_finds_the_package(prefix: Prefix, layout: Layout) -> None:
    road = layout(prefix)
    answer = run(prefix / "bin" / "ostler", "jobs", "a b", "")
    assert answer.stderr == ""
    told, rest = answer.stdout.rstrip("\n").split(" 1 1 ", 1)
    assert Path(told).samefile(road)
    assert rest == "jobs a b "


def test_the_launcher_finds_the_package_through_links(prefix: Prefix, tmp_path: Path) -> None:
    installed(prefix)
    (tmp_path / "first").symlink_to(prefix / "bin" / "ostler")
    (tmp_path / "second").symlink_to("first")
    assert run(tmp_path / "second").stdout.endswith(" 1 1\n")
    assert run("./second", cwd=tmp_path).stdout.endswith(" 1 1\n")


@pytest.mark.parametrize("layout", [installed, installed_beside_libraries_of_64_bits])
def test_the_launcher_takes_a_python_from_path_where_none_is_beside_it(
    prefix: Prefix, layout: Layout
) -> None:
    layout(prefix)
    (prefix / "bin" / "python3").unlink()
    versioned = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (prefix / versioned).symlink_to(sys.executable)
    command = f'PATH="{prefix}:$PATH"; exec "{prefix}/bin/ostler" jobs'
    assert run("sh", "-c", command).stdout.endswith(" 1 1 jobs\n")


def test_the_launcher_says_what_to_do_without_a_package(prefix: Prefix) -> None:
    answer = run(prefix / "bin" / "ostler")
    assert answer.returncode == 5
    assert "pip install ostler" in answer.stderr


def test_the_installed_command_is_the_launcher() -> None:
    command = Path(sys.prefix) / "bin" / "ostler"
    assert command.read_bytes() == LAUNCHER.read_bytes()
    assert run(command, "--help").returncode == 0


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys; old = set(sys.modules); import ostler; print(*set(sys.modules) - old)"
    assert run(sys.executable, "-c", code).stdout.split() == ["ostler"]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_every_make_command_that_a_page_names_exists(path: str) -> None:
    named = re.findall(r"(?:`|&& |^|step )make ([a-z-]+)", (ROOT / path).read_text(), re.MULTILINE)
    assert named
    assert set(named) <= make_targets()


def test_make_alone_lists_the_targets() -> None:
    listed = {line.split()[0] for line in run("make", cwd=ROOT).stdout.splitlines()}
    assert listed >= {"demo", "test", "check", "fmt", "soak", "changes"}


def test_pages_link_to_files_that_exist() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    ]
    assert links
    assert [(page, link) for page, link in links if not (page.parent / link).exists()] == []


def test_every_page_for_users_is_listed() -> None:
    docs = ROOT / "docs"
    listed = (docs / "README.md").read_text()
    for folder in ("tutorials", "howto", "explanation", "reference"):
        for page in sorted((docs / folder).glob("*.md")):
            assert f"({page.relative_to(docs)})" in listed


def test_the_checklists_name_files_that_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:src|tests|scripts|docs)/[^`]+)`", page)
    kept = [path for path in named if not re.search(r"NAME|NOUN", path)]
    assert kept
    assert [path for path in kept if not [*ROOT.glob(path)]] == []


def test_each_driver_has_a_chapter_that_is_made_from_what_it_says_of_itself() -> None:
    """R-MAU-14; that the page is what its code makes of it is the next test's."""
    page = (ROOT / "docs" / "reference" / "drivers.md").read_text()
    chapters = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert sorted(chapters) == sorted(["native", *drivers()])
    for chapter in page.split("\n## ")[1:]:
        name = chapter.splitlines()[0]
        assert "| verbs | options |" in chapter, name
        assert "its state of a job" in chapter, name
        if name not in {"native", "local"}:  # which are as old as the rest, and have no states
            assert "its state of a node" in chapter, name
            assert "Oldest version that it works with" in chapter, name
            assert "Known limits" in chapter, name


@pytest.mark.parametrize("name", ["drivers", "roles", "states"])
def test_a_page_that_is_made_from_tables_is_up_to_date(name: str) -> None:
    fresh = run(sys.executable, f"scripts/{name}.py", cwd=ROOT).stdout
    page = (ROOT / "docs" / "reference" / f"{name}.md").read_text()
    assert page == fresh, "run: make docs"


def sources() -> Iterator[Path]:
    return (ROOT / "src").rglob("*.py")


def test_no_module_is_too_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in sources()}
    assert {path: size for path, size in lengths.items() if size > MAX_LINES} == {}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            last = node.end_lineno or node.lineno
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", last - node.lineno + 1


def test_no_function_is_too_long() -> None:
    sizes = (pair for path in sources() for pair in functions(path))
    assert [name for name, lines in sizes if lines > MAX_FUNCTION_LINES] == []


def words_in(path: Path) -> Iterator[str]:
    """Yield all names and texts of a module, but no comment and no docstring."""
    tree = ast.parse(path.read_text())
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {ast.get_docstring(n, clean=False) for n in ast.walk(tree) if isinstance(n, holders)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value not in docs
        ):
            yield node.value
        elif isinstance(node, ast.Name | ast.Attribute):
            yield node.id if isinstance(node, ast.Name) else node.attr


def drivers() -> set[str]:
    """Return the drivers that are shipped."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    return set(points["ostler.drivers"])


@pytest.mark.parametrize("layer", ["schedule", "core"])
def test_the_scheduler_names_no_driver(layer: str) -> None:
    """R-MAU-6: whichever they are, its source has no name of one, in no code and in no text."""
    shipped = drivers()
    found = {
        f"{path.relative_to(ROOT)}: {word}"
        for path in (ROOT / "src" / "ostler" / layer).rglob("*.py")
        for word in words_in(path)
        if shipped & set(re.findall(r"[a-z]+", word.lower()))
    }
    assert shipped
    assert found == set()


def test_the_same_cases_run_on_every_driver() -> None:
    """R-MAU-6: each that is shipped has a test that holds it to all of the suite's cases."""
    named = {
        "gridengine": "tests/peers/test_gridengine_driver.py",  # the real ones
        "slurm": "tests/peers/test_slurm_driver.py",
        "local": "tests/e2e/test_pages.py",  # by `ostler rm check`, of a copy
        "wiki": "tests/unit/test_driver_wiki.py",
        "native": "tests/e2e/lab/test_native_contract.py",
    }
    assert set(named) == {"native", *drivers()}
    for path in named.values():
        text = (ROOT / path).read_text()
        assert re.search(r"\bCASES\b|\bcheck\(bench\)|\d passed, 0 failed|0 failed", text), path


def requirements(count: int, text: str) -> set[int]:
    """Return which of so many numbers a text names, as in: R-MAU-23, 24 and 26."""
    found = set()
    for said in re.findall(r"R-MAU-\d+(?:(?:,| and|;)+ (?:R-MAU-)?\d+\b)*", text):
        found |= {int(number) for number in re.findall(r"\d+", said)}
    return found & set(range(1, count + 1))


def test_each_requirement_on_resource_managers_has_a_test_that_names_it() -> None:
    named: set[int] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        if "R-MAU" not in (source := path.read_text()):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Module) or (
                isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            ):
                named |= requirements(33, ast.get_docstring(node) or "")
    assert sorted(set(range(1, 34)) - named) == []
