-- name: put_access
INSERT OR REPLACE INTO access_controls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: drop_access
DELETE FROM access_controls WHERE partition = ? AND class = ? AND name = ?;
-- name: access_controls
SELECT * FROM access_controls;
