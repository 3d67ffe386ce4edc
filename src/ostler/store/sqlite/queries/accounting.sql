-- name: add_accounting
INSERT INTO accounting (
  allocation, job, element, attempt, user, project, partition, nodes, cpus, memory, gpus,
  granted_at, started_at, ended_at, result, exit_status,
  cpu_user_seconds, cpu_system_seconds, max_rss, read_bytes, written_bytes, suspended_seconds,
  part, first_of_job
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: has_attempt
SELECT 1 FROM accounting WHERE job = ? LIMIT 1;
-- name: add_use
INSERT INTO daily_use VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  jobs = jobs + excluded.jobs, attempts = attempts + excluded.attempts,
  unsuccessful = unsuccessful + excluded.unsuccessful,
  held_cpu_seconds = held_cpu_seconds + excluded.held_cpu_seconds,
  used_cpu_seconds = used_cpu_seconds + excluded.used_cpu_seconds,
  held_gpu_seconds = held_gpu_seconds + excluded.held_gpu_seconds,
  held_memory_byte_seconds = held_memory_byte_seconds + excluded.held_memory_byte_seconds,
  max_rss = max(max_rss, excluded.max_rss), read_bytes = read_bytes + excluded.read_bytes,
  written_bytes = written_bytes + excluded.written_bytes;
-- name: accounting_of_job
-- low, high: the numbers that its steps can have.
SELECT * FROM accounting
 WHERE (job = :job OR job BETWEEN :low AND :high)
   AND (:user IS NULL OR user = :user)
   AND (:project IS NULL OR project = :project)
   AND (:partition IS NULL OR partition = :partition)
   AND (:since IS NULL OR ended_at >= :since)
   AND (:until IS NULL OR ended_at < :until)
 ORDER BY ended_at DESC, allocation DESC LIMIT :limit;
-- name: accounting_of_all
SELECT * FROM accounting INDEXED BY accounting_by_end
 WHERE ended_at >= coalesce(:since, -1e300) AND ended_at < coalesce(:until, 1e300)
   AND (:user IS NULL OR user = :user)
   AND (:project IS NULL OR project = :project)
   AND (:partition IS NULL OR partition = :partition)
 ORDER BY ended_at DESC, allocation DESC LIMIT :limit;
-- name: load_used
-- What each user has used in each project, by the hours in which it began and ended.
-- since: seconds before the last end of all. Steps are within what their jobs used.
SELECT project, user, sum(cpus * (ended_at - granted_at - suspended_seconds)),
       avg(granted_at), avg(ended_at)
  FROM accounting INDEXED BY accounting_by_end
 WHERE ended_at >= (SELECT max(ended_at) FROM accounting) - :since
   AND ended_at > granted_at AND job < 2305843009213693952
 GROUP BY project, user, CAST(granted_at / 3600 AS INTEGER), CAST(ended_at / 3600 AS INTEGER)
 ORDER BY project, user, 5, 4;
