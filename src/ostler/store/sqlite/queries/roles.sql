-- name: role
SELECT holder, pid, start_time, boot_id, epoch, lease_until, lease_boot_id
  FROM roles WHERE role = :role;
-- name: next_epoch
-- Rows of roles are never removed, so this number never comes again.
SELECT coalesce(max(epoch), 0) + 1 FROM roles;
-- name: take_role
INSERT INTO roles (
  role, holder, pid, start_time, boot_id, epoch, lease_until, lease_boot_id, taken_at
) VALUES (
  :role, :holder, :pid, :start_time, :boot_id, :epoch, :lease_until, :boot_id,
  86400 * (julianday('now') - 2440587.5)  -- Unix seconds
)
ON CONFLICT (role) DO UPDATE SET
  holder = excluded.holder, pid = excluded.pid, start_time = excluded.start_time,
  boot_id = excluded.boot_id, epoch = excluded.epoch, lease_until = excluded.lease_until,
  lease_boot_id = excluded.lease_boot_id, taken_at = excluded.taken_at;
-- name: renew_roles
-- All roles that were taken with this epoch.
UPDATE roles SET lease_until = :lease_until WHERE epoch = :epoch AND holder <> '';
-- name: drop_roles
UPDATE roles SET holder = '', lease_until = 0 WHERE epoch = :epoch;
-- name: check_epoch
-- Inside BEGIN IMMEDIATE nobody else writes, so looking is as good as locking the row.
SELECT 1 FROM roles WHERE role = 'machine' AND epoch = :epoch AND holder <> '';
