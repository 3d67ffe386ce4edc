-- name: put_element
INSERT INTO elements (
  job, element, state, attempt, held_by, result, exit_status, reason, node, started_at, ended_at,
  cpu_user_seconds, cpu_system_seconds, max_rss, read_bytes, written_bytes, suspended_seconds, tasks,
  rm
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job, element) DO UPDATE SET
  state = excluded.state, attempt = excluded.attempt, held_by = excluded.held_by,
  result = excluded.result, exit_status = excluded.exit_status, reason = excluded.reason,
  node = excluded.node, started_at = excluded.started_at, ended_at = excluded.ended_at,
  cpu_user_seconds = excluded.cpu_user_seconds, cpu_system_seconds = excluded.cpu_system_seconds,
  max_rss = excluded.max_rss, read_bytes = excluded.read_bytes,
  written_bytes = excluded.written_bytes, suspended_seconds = excluded.suspended_seconds,
  tasks = excluded.tasks, rm = excluded.rm;
-- name: load_elements
-- Elements of unfinished jobs that have a row and have not ended.
SELECT e.*
  FROM jobs j INDEXED BY jobs_unfinished CROSS JOIN elements e ON e.job = j.id
 WHERE j.state <> 'done' AND e.state <> 'done';
-- name: load_done
-- Ended elements of unfinished jobs: of these only this is needed.
SELECT e.job, e.element, e.result, e.attempt, COALESCE(e.rm, '')
  FROM jobs j INDEXED BY jobs_unfinished CROSS JOIN elements e ON e.job = j.id
 WHERE j.state <> 'done' AND e.state = 'done';
-- name: done_of_job
SELECT element, result, attempt, COALESCE(rm, '') FROM elements WHERE job = :job AND state = 'done';
-- name: elements_of_job
-- spans: JSON [[first, last], ...], disjoint.
SELECT e.*
  FROM json_each(:spans) span
  CROSS JOIN elements e
    ON e.job = :job
   AND e.element BETWEEN json_extract(span.value, '$[0]') AND json_extract(span.value, '$[1]')
 WHERE :states IS NULL OR e.state IN (SELECT value FROM json_each(:states))
 ORDER BY e.element LIMIT :limit;
