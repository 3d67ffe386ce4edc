-- name: add_blob
-- The same digest is the same bytes: whoever comes second finds them there.
INSERT INTO blobs (digest, uid, data) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING;
-- name: blob
SELECT data FROM blobs WHERE digest = :digest;
