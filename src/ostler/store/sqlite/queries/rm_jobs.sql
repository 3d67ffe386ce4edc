-- name: put_rm_job
INSERT OR REPLACE INTO rm_jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: rms_of_jobs
-- Who has had elements of these jobs, and how many. What has no id was refused, or never answered.
SELECT job, rm, count(DISTINCT element) FROM rm_jobs
 WHERE job IN (SELECT value FROM json_each(:jobs)) AND id <> ''
 GROUP BY job, rm;
-- name: load_rm_jobs
-- What is not over, and what was it of late: it may still be listed.
SELECT * FROM rm_jobs INDEXED BY rm_jobs_open WHERE stage <> 'over'
UNION ALL
SELECT * FROM rm_jobs INDEXED BY rm_jobs_by_time
 WHERE since > (SELECT max(since) FROM rm_jobs) - 86400 AND stage = 'over';
