-- name: put_reservation
INSERT OR REPLACE INTO reservations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: drop_reservation
DELETE FROM reservations WHERE name = ?;
-- name: reservations
SELECT * FROM reservations;
