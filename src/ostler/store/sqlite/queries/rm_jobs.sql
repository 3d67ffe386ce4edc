-- name: put_rm_job
INSERT OR REPLACE INTO rm_jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: load_rm_jobs
-- What is not over, and what was it of late: it may still be listed.
SELECT * FROM rm_jobs INDEXED BY rm_jobs_open WHERE stage <> 'over'
UNION ALL
SELECT * FROM rm_jobs INDEXED BY rm_jobs_by_time
 WHERE since > (SELECT max(since) FROM rm_jobs) - 86400 AND stage = 'over';
