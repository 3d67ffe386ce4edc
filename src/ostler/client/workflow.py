"""Several jobs that are submitted together: their names, and who waits for whom among them."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from ostler.client.spec import Spec, make_spec
from ostler.model.errors import UsageError
from ostler.model.job import KINDS

After = tuple[str, str]  # the name of a job of the same submission, or an id; and the kind


def after_of(text: str) -> After:
    """Return what `prepare`, `prepare:any` or `12:ok` names."""
    name, colon, kind = text.rpartition(":")
    return (name, kind) if colon and kind in KINDS else (text, "ok")


def make_parts(
    jobs: Mapping[str, tuple[Mapping[str, object], Sequence[After]]],
) -> tuple[list[dict[str, object]], list[bytes]]:
    """Return the parts of `SubmitAll` and the blobs of all, each once; raise `UsageError`.

    jobs: by name, the values that `make_spec` takes, and what the job waits for.
    """
    places = {name: at for at, name in enumerate(jobs)}
    parts: list[dict[str, object]] = []
    blobs: dict[bytes, None] = {}
    for name, (values, after) in jobs.items():
        _check_name(name)
        try:
            spec, found = make_spec({**values, "name": name})
            parts.append({"spec": spec, **_links(spec, after, places)})
        except UsageError as error:
            error.message = f"job {name!r}: {error.message}"
            raise
        blobs.update(dict.fromkeys(found))
    return parts, list(blobs)


def _check_name(name: str) -> None:
    """Raise `UsageError` for a name that `after` could not tell from an id or a list."""
    if not name or name.isdigit() or any(char in name for char in ",:"):
        raise UsageError(
            f"a job cannot be named {name!r}", expected="a word that is no number, without , and :"
        )


def _links(spec: Spec, after: Sequence[After], places: Mapping[str, int]) -> dict[str, object]:
    links, others = [], []
    for name, kind in after:
        if name in places:
            links.append((places[name], kind))
        elif name.isascii() and name.isdigit() and len(name) < 19:
            others.append({"job": int(name), "kind": kind})
        else:
            near = get_close_matches(name, places, 1)
            hint = f"did you mean {near[0]!r}" if near else ""
            raise UsageError(
                f"it waits for {name!r}, and no job of the submission has that name",
                expected="a name, or the id of a job that is there",
                hint=hint,
            )
    if others:
        named = spec.get("after")  # by the script itself
        spec["after"] = [*(named if isinstance(named, list) else ()), *others]
    return {"links": links} if links else {}
