-- name: add_event
INSERT INTO events (serial, at, kind, job, element, allocation, node, user, text, object)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: next_event
SELECT coalesce(max(serial), 0) + 1 FROM events;
-- name: events_first
-- The oldest from a serial on.
SELECT * FROM events
 WHERE serial >= :since
 ORDER BY serial LIMIT :limit;
-- name: events_last
-- The newest, newest first.
SELECT * FROM events
 WHERE serial >= :since
 ORDER BY serial DESC LIMIT :limit;
-- name: events_of_job_first
-- wide: 1 counts events of the whole job as events of each of its elements.
SELECT * FROM events INDEXED BY events_of_job
 WHERE job = :job AND serial >= :since AND (:node IS NULL OR node = :node)
   AND (:element IS NULL OR element = :element OR (:wide AND element IS NULL))
 ORDER BY serial LIMIT :limit;
-- name: events_of_job_last
SELECT * FROM events INDEXED BY events_of_job
 WHERE job = :job AND serial >= :since AND (:node IS NULL OR node = :node)
   AND (:element IS NULL OR element = :element OR (:wide AND element IS NULL))
 ORDER BY serial DESC LIMIT :limit;
-- name: events_of_node_first
SELECT * FROM events INDEXED BY events_of_node
 WHERE node = :node AND serial >= :since
 ORDER BY serial LIMIT :limit;
-- name: events_of_node_last
SELECT * FROM events INDEXED BY events_of_node
 WHERE node = :node AND serial >= :since
 ORDER BY serial DESC LIMIT :limit;
-- name: oldest_event
SELECT coalesce(min(serial), 0) FROM events;
-- name: has_old_event
SELECT 1 FROM (SELECT serial, at FROM events ORDER BY serial LIMIT 1)
 WHERE at < :before AND serial < :below;
-- name: drop_events
-- The oldest, some at a time. The newest stays whatever its age: its serial must not come again.
DELETE FROM events WHERE serial IN (
  SELECT serial FROM (SELECT serial, at FROM events ORDER BY serial LIMIT :limit)
   WHERE at < :before AND serial < :below AND serial < (SELECT max(serial) FROM events));
-- name: add_posting
INSERT OR IGNORE INTO postings (uid, request_id, serial) VALUES (?, ?, ?);
-- name: find_posting
SELECT serial FROM postings WHERE uid = :uid AND request_id = :request_id;
-- name: drop_postings
-- Of events that are gone.
DELETE FROM postings WHERE serial < (SELECT coalesce(min(serial), 0) FROM events);
