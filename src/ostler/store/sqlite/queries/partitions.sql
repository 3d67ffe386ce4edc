-- name: put_partition
INSERT OR REPLACE INTO partitions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: drop_partition
DELETE FROM partitions WHERE name = ?;
-- name: partitions
SELECT * FROM partitions;
