-- name: add_transaction
INSERT INTO transactions (serial, at, user, verb, kind, name, before, after, request)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: add_answered
INSERT OR IGNORE INTO answered (uid, request_id, at, answer) VALUES (?, ?, ?, ?);
-- name: find_answered
SELECT answer FROM answered WHERE uid = :uid AND request_id = :request_id;
-- name: drop_answered
-- Of a time whose events are gone.
DELETE FROM answered WHERE at < (SELECT at FROM events ORDER BY serial LIMIT 1);
-- name: next_transaction
SELECT coalesce(max(serial), 0) + 1 FROM transactions;
-- name: transactions_of_object
-- The newest, newest first.
SELECT * FROM transactions
 WHERE name = :object AND (:kind IS NULL OR kind = :kind)
 ORDER BY serial DESC LIMIT :limit;
