-- name: put_errand
INSERT INTO handled (first, handler, event, events, state, attempt, due_at, began_at, ended_at,
                     result, exit_status, reason, user, notice)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (first, handler) DO UPDATE SET
  event = excluded.event, events = excluded.events, state = excluded.state,
  attempt = excluded.attempt, due_at = excluded.due_at, began_at = excluded.began_at,
  ended_at = excluded.ended_at, result = excluded.result, exit_status = excluded.exit_status,
  reason = excluded.reason, notice = excluded.notice;
-- name: add_dealt
-- Of an event that is no longer there nothing is kept.
INSERT OR IGNORE INTO handled (first, handler, event, events, state, attempt, due_at, began_at,
                               ended_at, result, exit_status, reason, user)
SELECT serial, 'by-hand', serial, 1, 'done', 0, ?, NULL, ?, 'success', NULL, ?, ?
  FROM events WHERE serial = ?;
-- name: dealt
SELECT first, user, ended_at, reason FROM handled
 WHERE handler = 'by-hand' AND first IN (SELECT value FROM json_each(:serials));
-- name: load_errands
-- What is not done, in the order in which it came.
SELECT h.first, h.handler, h.events, h.state, h.attempt, h.due_at, h.began_at, h.ended_at,
       h.result, h.exit_status, h.reason, h.notice,
       e.serial, e.at, e.kind, e.job, e.element, e.allocation, e.node, e.user, e.text, e.object
  FROM handled h JOIN events e ON e.serial = h.event
 WHERE h.state <> 'done' ORDER BY h.first, h.handler;
-- name: errands
SELECT h.first, h.handler, h.event, h.events, h.state, h.attempt, h.due_at, h.began_at, h.ended_at,
       h.result, h.exit_status, h.reason, h.user, e.kind, e.text, e.job, e.element, e.node, e.object
  FROM handled h LEFT JOIN events e ON e.serial = h.event
 WHERE (:user IS NULL OR h.user = :user) AND (:handler IS NULL OR h.handler = :handler)
   AND (:open = 0 OR h.state <> 'done')
 ORDER BY h.first DESC, h.handler LIMIT :limit;
-- name: drop_handled
-- What was done about events that are gone.
DELETE FROM handled
 WHERE state = 'done' AND first < (SELECT coalesce(min(serial), 0) FROM events);
