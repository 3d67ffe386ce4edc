-- name: put_handler
INSERT OR REPLACE INTO event_handlers VALUES (?, ?, ?, ?, ?, ?, ?, ?);
-- name: drop_handler
DELETE FROM event_handlers WHERE name = ?;
-- name: event_handlers
SELECT * FROM event_handlers;
