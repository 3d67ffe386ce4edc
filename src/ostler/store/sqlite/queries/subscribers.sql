-- name: put_subscriber
INSERT INTO subscribers (uid, name, user, serial, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (uid, name) DO UPDATE SET serial = excluded.serial, at = excluded.at;
-- name: drop_subscriber
DELETE FROM subscribers WHERE uid = ? AND name = ?;
-- name: subscribers
SELECT uid, name, user, serial, at FROM subscribers ORDER BY uid, name;
