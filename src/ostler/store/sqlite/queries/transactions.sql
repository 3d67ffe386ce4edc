-- name: add_transaction
INSERT INTO transactions (serial, at, user, verb, kind, name, before, after, request)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: next_transaction
SELECT coalesce(max(serial), 0) + 1 FROM transactions;
-- name: transactions_of_object
-- The newest, newest first.
SELECT * FROM transactions
 WHERE name = :object AND (:kind IS NULL OR kind = :kind)
 ORDER BY serial DESC LIMIT :limit;
