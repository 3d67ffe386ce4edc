-- name: put_job
-- A new job, or the new state of a known one; what never changes is left alone.
INSERT INTO jobs (
  id, name, user, uid, gid, project, partition, rm, state, result, exit_status, reason, rule, priority,
  kind, command, tasks, cpus, memory, gpus, nodes, "constraint", exclusive, licences, reservation,
  time_limit_seconds, "array", array_cap, elements, "after", held_by, not_before, submitted_at, started_at, ended_at, requeues, request_id, spec,
  rest, promised_start
) VALUES (
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
  ?, ?, ?, ?, ?, ?, ?
) ON CONFLICT (id) DO UPDATE SET
  name = excluded.name, project = excluded.project, partition = excluded.partition,
  rm = excluded.rm,
  state = excluded.state, result = excluded.result, exit_status = excluded.exit_status,
  reason = excluded.reason, rule = excluded.rule, priority = excluded.priority,
  command = excluded.command, tasks = excluded.tasks, cpus = excluded.cpus,
  memory = excluded.memory, gpus = excluded.gpus, nodes = excluded.nodes,
  "constraint" = excluded."constraint", licences = excluded.licences,
  reservation = excluded.reservation,
  time_limit_seconds = excluded.time_limit_seconds, "array" = excluded."array",
  array_cap = excluded.array_cap, elements = excluded.elements, held_by = excluded.held_by,
  not_before = excluded.not_before, started_at = excluded.started_at,
  ended_at = excluded.ended_at, requeues = excluded.requeues, spec = excluded.spec,
  rest = excluded.rest, promised_start = excluded.promised_start;
-- name: put_rule
-- Several jobs wait by another rule than before.
UPDATE jobs SET rule = ? WHERE id IN (SELECT value FROM json_each(?));
-- name: load_jobs
-- Every unfinished job, in order of submission.
SELECT id, spec, user, uid, gid, request_id, submitted_at, state, held_by, result, exit_status,
       reason, rule, priority, started_at, ended_at, requeues, rm, rest, promised_start
  FROM jobs INDEXED BY jobs_unfinished WHERE state <> 'done' ORDER BY id;
-- name: load_ended
-- Read from the index alone: a row of a job is long, and there may be millions.
SELECT id, result FROM jobs INDEXED BY jobs_results WHERE state = 'done';
-- name: get_job
-- One job, whatever its state, with the columns of load_jobs.
SELECT id, spec, user, uid, gid, request_id, submitted_at, state, held_by, result, exit_status,
       reason, rule, priority, started_at, ended_at, requeues, rm, rest, promised_start
  FROM jobs WHERE id = :id;
-- name: needless_of_job
-- The elements of an array if those without rows ended as a success.
SELECT "array" FROM jobs WHERE id = :job AND rest = 'success' AND "array" IS NOT NULL;
-- name: next_job
-- Numbers from 1 << 61 on are those of steps.
SELECT coalesce(max(id), 0) + 1 FROM jobs WHERE id < 2305843009213693952;
-- name: steps_of_job
-- low, high: the numbers that its steps can have.
SELECT * FROM jobs WHERE id BETWEEN :low AND :high ORDER BY id DESC LIMIT :limit;
-- name: find_request
-- With no uid given, whoever asked last.
SELECT id FROM jobs
 WHERE request_id = :request_id AND request_id <> '' AND (:uid IS NULL OR uid = :uid)
 ORDER BY id DESC LIMIT 1;
-- name: requests
SELECT uid, request_id FROM jobs WHERE request_id <> '';
-- name: jobs_by_id
SELECT * FROM jobs
 WHERE id IN (SELECT value FROM json_each(:ids))
   AND (:user IS NULL OR user = :user)
   AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states))
        OR result IN (SELECT value FROM json_each(:states)))
   AND (:since IS NULL OR ended_at IS NULL OR ended_at >= :since)
   AND (:partition IS NULL OR partition = :partition)
 ORDER BY id DESC LIMIT :limit;
-- name: jobs_unfinished
-- The caller has made sure that `done` is not among the states.
SELECT * FROM jobs INDEXED BY jobs_unfinished
 WHERE state <> 'done'
   AND (:user IS NULL OR user = :user)
   AND state IN (SELECT value FROM json_each(:states))
   AND id < :below
   AND (:partition IS NULL OR partition = :partition)
 ORDER BY id DESC LIMIT :limit;
-- name: jobs_of_user
SELECT * FROM jobs
 WHERE user = :user
   AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states))
        OR result IN (SELECT value FROM json_each(:states)))
   AND (:since IS NULL OR ended_at IS NULL OR ended_at >= :since)
   AND id < :below
   AND (:partition IS NULL OR partition = :partition)
 ORDER BY id DESC LIMIT :limit;
-- name: jobs_of_all
SELECT * FROM jobs
 WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states))
        OR result IN (SELECT value FROM json_each(:states)))
   AND (:since IS NULL OR ended_at IS NULL OR ended_at >= :since)
   AND id < :below
   AND (:partition IS NULL OR partition = :partition)
 ORDER BY id DESC LIMIT :limit;
