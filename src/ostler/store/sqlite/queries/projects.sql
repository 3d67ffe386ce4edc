-- name: put_project
INSERT OR REPLACE INTO projects VALUES (?, ?, ?, ?);
-- name: drop_project
DELETE FROM projects WHERE name = ?;
-- name: projects
SELECT * FROM projects;
