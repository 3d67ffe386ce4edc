"""What accounts used in stretches of time, as one statement over the tables that all may read."""

from collections.abc import Iterable, Sequence
from json import dumps
from typing import Any

from ostler.model.errors import UsageError
from ostler.model.ids import STEPS_FROM

BY = ("user", "project", "partition")

# An attempt that lies across the edge of a stretch counts there by the part of its time that lies
# within, so that the stretches of a year add up to the year. It is counted, as one more that
# ended, where it ended. Steps are within what their allocations held. Attempts are read once,
# however many stretches there are (CROSS JOIN keeps the order).
_SQL = """
WITH span (period, low, high) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:spans)
), part AS (
  SELECT s.period, a.*,
         a.ended_at >= s.low AND a.ended_at < s.high AS ended,
         CASE WHEN a.ended_at > a.granted_at
              THEN (min(a.ended_at, s.high) - max(a.granted_at, s.low)) / (a.ended_at - a.granted_at)
              ELSE 1.0 END AS share,
         max(a.ended_at - a.granted_at - a.suspended_seconds, 0.0) AS held
    FROM accounting a CROSS JOIN span s
   WHERE a.ended_at >= :first AND a.granted_at < :last AND a.job < {steps}{where}
     AND a.ended_at >= s.low AND a.granted_at < s.high
)
SELECT {keys}
       count(DISTINCT CASE WHEN ended THEN job END) AS jobs,
       sum(ended) AS attempts,
       sum(ended AND result NOT IN ('success', 'requeued')) AS unsuccessful,
       sum(share * held * cpus) AS held_cpu_seconds,
       sum(share * (cpu_user_seconds + cpu_system_seconds)) AS used_cpu_seconds,
       sum(share * held * gpus) AS held_gpu_seconds,
       sum(share * held * memory) AS held_memory_byte_seconds,
       max(max_rss) AS max_rss,
       CAST(sum(share * read_bytes) AS INTEGER) AS read_bytes,
       CAST(sum(share * written_bytes) AS INTEGER) AS written_bytes
  FROM part GROUP BY {group} ORDER BY period, held_cpu_seconds DESC, {group}
"""


def usage(
    spans: Iterable[Sequence[Any]], by: Sequence[str], **only: str | None
) -> tuple[str, dict[str, Any]]:
    """Return the statement and its values; raise `UsageError`.

    spans: (name, from, to) in Unix seconds. by: of `BY`; one row for each. only: columns of
    accounting and what they must be; None: anything.
    """
    if wrong := [key for key in by if key not in BY]:
        raise UsageError(f"use is not counted by {wrong[0]!r}", expected=", ".join(BY))
    keys = list(dict.fromkeys(by))
    named = {key: value for key, value in only.items() if value is not None and key in BY}
    rows = [list(span) for span in spans]
    bounds = {"first": min(low for _, low, _ in rows), "last": max(high for *_, high in rows)}
    statement = _SQL.format(
        steps=STEPS_FROM,
        where="".join(f" AND a.{key} = :{key}" for key in named),
        keys="".join(f"{key}, " for key in ("period", *keys)),
        group=", ".join(("period", *keys)),
    )
    return statement, {"spans": dumps(rows), **bounds, **named}


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an answer, each with how much of what was held was used, 0 to 1."""
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    for row in rows:
        held = row["held_cpu_seconds"]
        row["efficiency"] = round(row["used_cpu_seconds"] / held, 4) if held else None
    return rows
