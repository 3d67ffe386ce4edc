-- name: put_attribute
INSERT INTO attributes (key, value, set_by, set_at) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value, set_by = excluded.set_by, set_at = excluded.set_at;
-- name: drop_attribute
DELETE FROM attributes WHERE key = ?;
-- name: attributes
SELECT key, value FROM attributes ORDER BY key;
