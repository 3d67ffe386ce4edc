-- name: put_rm_job
INSERT OR REPLACE INTO rm_jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: load_rm_jobs
-- What is not over, and what was it of late: it may still be listed.
SELECT * FROM rm_jobs
 WHERE stage <> 'over' OR since > (SELECT max(since) FROM rm_jobs) - 86400;
