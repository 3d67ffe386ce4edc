-- name: put_scheduler
INSERT OR REPLACE INTO schedulers VALUES (?, ?, ?, ?, ?);
-- name: drop_scheduler
DELETE FROM schedulers WHERE name = ?;
-- name: schedulers
SELECT * FROM schedulers;
