-- name: put_node
INSERT INTO nodes (
  name, partition, rm, status, since, unknown_since, word, word_by, word_at, word_reason, boot_id, gone,
  cpus, memory, gpus, cpu_numbers, gpu_numbers, generic, features, own_features,
  declared, until
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
  partition = excluded.partition, rm = excluded.rm, status = excluded.status, since = excluded.since,
  unknown_since = excluded.unknown_since, word = excluded.word, word_by = excluded.word_by,
  word_at = excluded.word_at, word_reason = excluded.word_reason, boot_id = excluded.boot_id,
  gone = excluded.gone, cpus = excluded.cpus, memory = excluded.memory, gpus = excluded.gpus,
  cpu_numbers = excluded.cpu_numbers, gpu_numbers = excluded.gpu_numbers,
  generic = excluded.generic, features = excluded.features,
  own_features = excluded.own_features, declared = excluded.declared,
  until = excluded.until;
-- name: nodes
SELECT * FROM nodes ORDER BY name;
-- name: put_moment
-- Beside the records of nodes: these change all the time, and nothing is decided by them.
UPDATE nodes SET
  last_update = coalesce(?, last_update), checked_at = coalesce(?, checked_at),
  agent_pid = coalesce(?, agent_pid), agent_started_at = coalesce(?, agent_started_at)
WHERE name = ?;
