"""The keys of accounts, in the order of spreadsheets and of the reference."""

ACCOUNTING = (
    "allocation job element attempt user project partition nodes cpus memory gpus granted_at "
    "started_at ended_at result exit_status cpu_user_seconds cpu_system_seconds max_rss "
    "read_bytes written_bytes suspended_seconds first_of_job part"
)
USAGE = (
    "period user jobs attempts unsuccessful running held_cpu_seconds used_cpu_seconds "
    "held_gpu_seconds held_memory_byte_seconds max_rss read_bytes written_bytes efficiency"
)
