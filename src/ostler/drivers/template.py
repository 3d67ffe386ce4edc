"""A driver to begin one from: the smallest there is, under another name."""

from pathlib import Path

from ostler.drivers import local

_HEAD = '''"""A driver for {name}. It passes `ostler rm check {name}` as it stands: go on from there.

Replace what says `spool`, the smallest resource manager, by yours, and check it again. Then
`ostler rm add {name} {path}:{kind} folder=...`, or have a package offer it as `{name}`:

    [project.entry-points."ostler.drivers"]
    {name} = "{name}:{kind}"
"""
'''
_BENCH = '''
    @staticmethod
    def bench(settings: Mapping[str, str]) -> object:
        """Return what `ostler rm check` tries it on; `Bench` itself serves most."""
        from ostler.testing.conformance.shipped import LocalBench

        return LocalBench({kind}, settings)
'''


def template(name: str, path: str) -> str:
    """Return a driver that works, with another name."""
    kind = "".join(word.capitalize() for word in name.split("_"))
    text = Path(local.__file__).read_text(encoding="utf-8")
    text = text.partition('"""\n\n')[2].replace("Local", kind).replace("local", name)
    head = _HEAD.format(name=name, kind=kind, path=path)
    return f"{head}\n{text}{_BENCH.format(kind=kind)}"
