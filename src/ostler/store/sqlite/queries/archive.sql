-- name: old_jobs
-- Ended before, the oldest first; without those whose numbers the next ones are counted from.
SELECT id, ended_at FROM jobs
 WHERE state = 'done' AND ended_at < :before
   AND id < (SELECT max(id) FROM jobs WHERE id < 2305843009213693952)
   AND id <> coalesce((SELECT CASE WHEN job < 2305843009213693952 THEN job
                                   ELSE (job - 2305843009213693952) >> 20 END
                         FROM allocations ORDER BY id DESC LIMIT 1), 0)
 ORDER BY id LIMIT :limit;
-- name: span_of_jobs
SELECT min(id), max(id) FROM jobs;
-- name: numbers_of_steps
SELECT id FROM jobs WHERE id BETWEEN :low AND :high;
-- name: old_accounts
SELECT allocation, job, element, attempt, part, ended_at FROM accounting INDEXED BY accounting_by_end
 WHERE ended_at < :before ORDER BY ended_at LIMIT :limit;
-- name: copy_jobs
INSERT OR REPLACE INTO jobs
SELECT * FROM live.jobs WHERE id IN (SELECT value FROM json_each(:jobs));
-- name: copy_elements
INSERT OR REPLACE INTO elements
SELECT * FROM live.elements WHERE job IN (SELECT value FROM json_each(:jobs));
-- name: copy_allocations
INSERT OR REPLACE INTO allocations
SELECT * FROM live.allocations WHERE job IN (SELECT value FROM json_each(:jobs));
-- name: copy_shares
INSERT OR REPLACE INTO allocation_nodes
SELECT * FROM live.allocation_nodes WHERE allocation IN (
  SELECT id FROM live.allocations WHERE job IN (SELECT value FROM json_each(:jobs)));
-- name: copy_events
INSERT OR REPLACE INTO events
SELECT * FROM live.events WHERE job IN (SELECT value FROM json_each(:jobs));
-- name: copy_rm_jobs
INSERT OR REPLACE INTO rm_jobs
SELECT * FROM live.rm_jobs WHERE job IN (SELECT value FROM json_each(:jobs));
-- name: copy_accounts
INSERT OR REPLACE INTO accounting
SELECT a.* FROM json_each(:accounts) j JOIN live.accounting a
    ON a.allocation = j.value ->> 0 AND a.job = j.value ->> 1
   AND a.element = j.value ->> 2 AND a.attempt = j.value ->> 3 AND a.part = j.value ->> 4;
-- name: drop_elements_of_jobs
DELETE FROM elements WHERE (job, element) IN (
  SELECT job, element FROM elements WHERE job IN (SELECT value FROM json_each(:jobs))
   LIMIT :limit);
-- name: drop_allocations_of_jobs
-- Their shares go with them.
DELETE FROM allocations WHERE id IN (
  SELECT id FROM allocations WHERE job IN (SELECT value FROM json_each(:jobs)) LIMIT :limit);
-- name: drop_events_of_jobs
DELETE FROM events WHERE serial IN (
  SELECT serial FROM events WHERE job IN (SELECT value FROM json_each(:jobs)) LIMIT :limit);
-- name: drop_rm_jobs_of_jobs
DELETE FROM rm_jobs WHERE (job, element, attempt) IN (
  SELECT job, element, attempt FROM rm_jobs WHERE job IN (SELECT value FROM json_each(:jobs))
   LIMIT :limit);
-- name: drop_jobs
DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(:jobs));
-- name: drop_account
DELETE FROM accounting
 WHERE allocation = ? AND job = ? AND element = ? AND attempt = ? AND part = ?;
