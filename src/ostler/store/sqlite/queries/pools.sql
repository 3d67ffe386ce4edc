-- name: put_pool
INSERT OR REPLACE INTO pools VALUES (?, ?, ?, ?, ?, ?, ?, ?);
-- name: drop_pool
DELETE FROM pools WHERE name = ?;
-- name: pools
SELECT * FROM pools;
