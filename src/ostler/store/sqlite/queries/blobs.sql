-- name: add_blob
-- The same digest is the same bytes: whoever comes second finds them there.
INSERT INTO blobs (digest, uid, data) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING;
-- name: specs
-- Of jobs and steps but for those that were asked before.
SELECT id, spec FROM jobs WHERE id NOT IN (SELECT value FROM json_each(:asked));
-- name: digests
SELECT digest FROM blobs;
-- name: drop_blob
DELETE FROM blobs WHERE digest = ?;
-- name: blob
SELECT data FROM blobs WHERE digest = :digest;
