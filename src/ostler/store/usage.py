"""What accounts used in stretches of time, as one statement over the tables that all may read."""

from collections.abc import Iterable, Sequence
from json import dumps
from typing import Any

from ostler.model.errors import UsageError
from ostler.model.ids import STEPS_FROM
from ostler.store.days import NO_FAILURE, cut

BY = ("user", "project", "partition")
_LONGEST = 90_000  # seconds of a day, at most

# Whole days are read from daily_use; only the parts of days at the ends of a stretch are summed
# from the attempts that lie there. An attempt counts in each by the part of its time, and as one
# of jobs and attempts where it ended, so that the stretches of a year add up to the year. What
# still runs counts from when it was given its CPUs, or a slot of an array its present element.
# Steps are within what their allocations held. CROSS JOIN keeps the order, so that what lies in
# no stretch is not read. A day of another zone that is cut counts by its part.
_SQL = """
WITH whole (period, low, high) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:whole)
), edge (period, low, high) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:edges)
), span (period, low, high) AS MATERIALIZED (
  SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(:spans)
), live AS MATERIALIZED (
  SELECT j.user, j.project, j.partition, sum(json_array_length(n.cpus)) AS cpus,
         sum(json_array_length(n.gpus)) AS gpus, sum(n.memory) AS memory,
         max(coalesce(a.running_since, a.granted_at), a.granted_at) AS since,
         iif(a.slot, 0.0, a.suspended_so_far_seconds)
           + coalesce(:now - a.suspended_at, 0.0) AS suspended
    FROM allocations a CROSS JOIN jobs j ON j.id = a.job
         CROSS JOIN allocation_nodes n ON n.allocation = a.id
   WHERE a.state <> 'released' AND a.job < {steps} GROUP BY a.id
), part AS (
  SELECT period, user, project, partition, share * jobs AS jobs, share * attempts AS attempts,
         share * unsuccessful AS unsuccessful, 0 AS running,
         share * held_cpu_seconds AS held_cpu_seconds, share * held_cpu_seconds AS over_cpu_seconds,
         share * used_cpu_seconds AS used_cpu_seconds, share * held_gpu_seconds AS held_gpu_seconds,
         share * held_memory_byte_seconds AS held_memory_byte_seconds, max_rss,
         share * read_bytes AS read_bytes, share * written_bytes AS written_bytes
    FROM (
      SELECT s.period, d.*,
             (min(d.until, s.high) - max(d.since, s.low)) / (d.until - d.since) AS share
        FROM whole s CROSS JOIN daily_use d
       WHERE d.since > s.low - {longest} AND d.since < s.high AND d.until > s.low
    )
  UNION ALL
  SELECT period, user, project, partition, first_of_job AND ended, ended,
         ended AND result NOT IN ({fine}), 0, share * held * cpus, share * held * cpus,
         share * (cpu_user_seconds + cpu_system_seconds), share * held * gpus,
         share * held * memory, max_rss, share * read_bytes, share * written_bytes
    FROM (
      SELECT s.period, a.*,
             (a.ended_at >= s.low AND a.ended_at < s.high) AS ended,
             CASE WHEN a.ended_at > a.granted_at
                  THEN (min(a.ended_at, s.high) - max(a.granted_at, s.low))
                       / (a.ended_at - a.granted_at)
                  ELSE 1.0 END AS share,
             max(a.ended_at - a.granted_at - a.suspended_seconds, 0.0) AS held
        FROM edge s CROSS JOIN accounting a
       WHERE a.ended_at >= s.low AND a.granted_at < s.high AND +a.job < {steps}
    )
  UNION ALL
  SELECT period, user, project, partition, 0, 0, 0, 1, held * cpus, 0.0, 0.0, held * gpus,
         held * memory, 0, 0, 0
    FROM (
      SELECT s.period, a.*,
             max(min(s.high, :now) - max(a.since, s.low), 0.0)
               * max(1.0 - a.suspended / max(:now - a.since, 1e-9), 0.0) AS held
        FROM span s CROSS JOIN live a WHERE a.since < s.high AND s.low <= :now
    )
)
SELECT {keys}
       CAST(round(sum(jobs)) AS INTEGER) AS jobs,
       CAST(round(sum(attempts)) AS INTEGER) AS attempts,
       CAST(round(sum(unsuccessful)) AS INTEGER) AS unsuccessful,
       sum(running) AS running,
       sum(held_cpu_seconds) AS held_cpu_seconds,
       sum(used_cpu_seconds) AS used_cpu_seconds,
       sum(held_gpu_seconds) AS held_gpu_seconds,
       sum(held_memory_byte_seconds) AS held_memory_byte_seconds,
       max(max_rss) AS max_rss,
       CAST(round(sum(read_bytes)) AS INTEGER) AS read_bytes,
       CAST(round(sum(written_bytes)) AS INTEGER) AS written_bytes,
       sum(over_cpu_seconds) AS over_cpu_seconds
  FROM part{where} GROUP BY {group} ORDER BY period, held_cpu_seconds DESC, {group}
"""


def usage(
    spans: Iterable[Sequence[Any]], by: Sequence[str], *, now: float, **only: str | None
) -> tuple[str, dict[str, Any]]:
    """Return the statement and its values; raise `UsageError`.

    spans: (name, from, to) in Unix seconds. by: of `BY`; one row for each. now: until when what
    runs has held what it holds. only: columns of accounting and what they must be; None: anything.
    """
    if wrong := [key for key in by if key not in BY]:
        raise UsageError(f"use is not counted by {wrong[0]!r}", expected=", ".join(BY))
    keys = list(dict.fromkeys(by))
    named = {key: value for key, value in only.items() if value is not None and key in BY}
    rows = [list(span) for span in spans]
    whole, edges = [], []
    for period, low, high in rows:
        days, ends = cut(low, high, now)
        whole += [(period, *days)] if days else []
        edges += [(period, *end) for end in ends]
    statement = _SQL.format(
        steps=STEPS_FROM,
        longest=_LONGEST,
        fine=", ".join(f"'{result}'" for result in NO_FAILURE),
        where=" WHERE " * bool(named) + " AND ".join(f"{key} = :{key}" for key in named),
        keys="".join(f"{key}, " for key in ("period", *keys)),
        group=", ".join(("period", *keys)),
    )
    lists = {"spans": dumps(rows), "whole": dumps(whole), "edges": dumps(edges)}
    return statement, {**lists, "now": now, **named}


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an answer, each with how much of what ended attempts held was used, 0 to 1."""
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    for row in rows:
        over = row.pop("over_cpu_seconds")  # the kernel counts what is used when it has ended
        row["efficiency"] = round(row["used_cpu_seconds"] / over, 4) if over else None
    return rows
