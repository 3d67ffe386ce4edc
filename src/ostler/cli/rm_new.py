"""`ostler rm new`: begin a driver, from the smallest one there is."""

import os
import re

from ostler.cli.main import slow_road
from ostler.cli.options import Given
from ostler.cli.output import complain, json_text, say
from ostler.model.errors import Refused, UsageError


def main(given: Given) -> int:
    """Write a file with a driver that works."""
    slow_road()  # drivers need installed packages
    from ostler.drivers.finding import kinds
    from ostler.drivers.template import template

    name, known = given.words[0], sorted(kinds())
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name) or name in known:
        raise UsageError(
            f"no new driver can be named {name!r}",
            expected=f"small letters, digits and _; not {', '.join(known)}",
        )
    path = os.path.abspath(f"{name}.py")
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(template(name, path))
    except FileExistsError:
        raise Refused(f"{name}.py is there already", hint="take another name") from None
    say(json_text({"file": path}) if given.flag("json") else path)
    if not given.flag("quiet"):
        complain(f"ostler rm check {name} holds it to the contract of drivers", bare=True)
    return 0
