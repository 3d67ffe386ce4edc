-- name: put_rm
INSERT OR REPLACE INTO resource_managers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: drop_rm
DELETE FROM resource_managers WHERE name = ?;
-- name: resource_managers
SELECT * FROM resource_managers;
