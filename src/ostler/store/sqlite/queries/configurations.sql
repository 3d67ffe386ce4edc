-- name: put_configuration
INSERT OR REPLACE INTO configurations VALUES (?, ?, ?, ?, ?, ?);
-- name: drop_configuration
DELETE FROM configurations WHERE name = ?;
-- name: configurations
SELECT * FROM configurations;
