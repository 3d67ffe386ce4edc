-- name: put_user
INSERT OR REPLACE INTO users VALUES (?, ?, ?, ?);
-- name: drop_user
DELETE FROM users WHERE name = ?;
-- name: users
SELECT * FROM users;
