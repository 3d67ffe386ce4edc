-- name: put_allocation
INSERT INTO allocations (
  id, job, element, attempt, state, epoch, granted_at, started, started_at, time_limit_seconds,
  suspended_at, suspended_by, suspended_so_far_seconds, resuming, gave_way_to, cause, why, end_cause, end_why,
  cpu_user_seconds, cpu_system_seconds, max_rss, read_bytes, written_bytes, suspended_seconds, tasks,
  slot, chunk, heard, running, running_since, dropped, resized
) VALUES (
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)
ON CONFLICT (id) DO UPDATE SET
  state = excluded.state, started = excluded.started, started_at = excluded.started_at,
  time_limit_seconds = excluded.time_limit_seconds, suspended_at = excluded.suspended_at,
  suspended_by = excluded.suspended_by,
  suspended_so_far_seconds = excluded.suspended_so_far_seconds,
  resuming = excluded.resuming, gave_way_to = excluded.gave_way_to, cause = excluded.cause,
  why = excluded.why, end_cause = excluded.end_cause, end_why = excluded.end_why,
  cpu_user_seconds = excluded.cpu_user_seconds, cpu_system_seconds = excluded.cpu_system_seconds,
  max_rss = excluded.max_rss, read_bytes = excluded.read_bytes,
  written_bytes = excluded.written_bytes, suspended_seconds = excluded.suspended_seconds,
  tasks = excluded.tasks, chunk = excluded.chunk, heard = excluded.heard,
  running = excluded.running, running_since = excluded.running_since,
  granted_at = excluded.granted_at, dropped = excluded.dropped, resized = excluded.resized;
-- name: put_share
-- What a node gives never changes; only how far it has come. Rows that stay equal are not written.
INSERT INTO allocation_nodes (
  allocation, node, position, tasks, first_rank, cpus, memory, gpus, generic, made, freed, leaving
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (allocation, node) DO UPDATE SET
  position = excluded.position, made = excluded.made, freed = excluded.freed,
  leaving = excluded.leaving
 WHERE made <> excluded.made OR freed <> excluded.freed OR leaving <> excluded.leaving
    OR position <> excluded.position;
-- name: load_allocations
SELECT * FROM allocations INDEXED BY allocations_held WHERE state <> 'released' ORDER BY id;
-- name: load_shares
SELECT s.*
  FROM allocations a INDEXED BY allocations_held
  CROSS JOIN allocation_nodes s ON s.allocation = a.id
 WHERE a.state <> 'released'
 ORDER BY s.allocation, s.position;
-- name: next_allocation
SELECT coalesce(max(id), 0) + 1 FROM allocations;
