-- name: put_rm_node
INSERT OR REPLACE INTO rm_nodes VALUES (?, ?, ?, ?, ?, ?, ?);
-- name: drop_rm_node
DELETE FROM rm_nodes WHERE name = ?;
-- name: rm_nodes
SELECT * FROM rm_nodes;
