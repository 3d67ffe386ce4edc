"""One element of the demo: analyse one module of the standard library.

analyse.py FOLDER: the path of the module is in OSTLER_ITEM; the answer goes to FOLDER as JSON.
"""

import ast
import json
import os
import sys
import tokenize
from pathlib import Path
from typing import TypedDict


class Report(TypedDict):
    """What is known of one module."""

    module: str
    lines: int
    functions: int
    classes: int
    imports: list[str]
    longest_function: str
    longest_lines: int


def imported(node: ast.AST) -> list[str]:
    """Return the top-level names that one statement imports, none if it is something else."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.partition(".")[0]]
    return []


def analyse(path: Path, module: str) -> Report:
    """Parse one file and count."""
    with tokenize.open(path) as file:
        source = file.read()
    nodes = list(ast.walk(ast.parse(source)))
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    sizes = [(n.end_lineno - n.lineno + 1, n.name) for n in functions if n.end_lineno]
    longest_lines, longest_function = max(sizes, default=(0, ""))
    return {
        "module": module,
        "lines": len(source.splitlines()),
        "functions": len(functions),
        "classes": sum(isinstance(n, ast.ClassDef) for n in nodes),
        "imports": sorted({name for n in nodes for name in imported(n)}),
        "longest_function": longest_function,
        "longest_lines": longest_lines,
    }


def module_name(path: Path) -> str:
    """Return the dotted name of a file below the standard library's folder.

    >>> module_name(Path(os.__file__).parent / "json" / "decoder.py")
    'json.decoder'
    """
    parts = path.with_suffix("").relative_to(Path(os.__file__).parent).parts
    return ".".join(parts)


def write_report(path: Path, folder: Path) -> None:
    """Write the report of one module, whole or not at all, and sign that it was this run."""
    with (folder / "ran").open("a", encoding="utf-8") as ran:
        ran.write(f"{path}\n")
    report = analyse(path, module_name(path))
    target = folder / f"{report['module']}.json"
    draft = target.with_suffix(".draft")
    draft.write_text(json.dumps(report), encoding="utf-8")
    draft.replace(target)


if __name__ == "__main__":
    write_report(Path(os.environ["OSTLER_ITEM"]), Path(sys.argv[1]))
