-- name: put_discrepancy
INSERT OR REPLACE INTO discrepancies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: load_discrepancies
SELECT * FROM discrepancies INDEXED BY discrepancies_open WHERE over_at IS NULL;
-- name: drop_discrepancies
-- Those that are over, once the events that told of them are gone.
DELETE FROM discrepancies
 WHERE over_at IS NOT NULL AND serial < (SELECT coalesce(min(serial), 0) FROM events);
