-- name: put_discrepancy
INSERT OR REPLACE INTO discrepancies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: load_discrepancies
SELECT * FROM discrepancies INDEXED BY discrepancies_open WHERE over_at IS NULL;
