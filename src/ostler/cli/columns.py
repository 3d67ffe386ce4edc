"""The columns that --format names, by the noun of the document: what its rows may have, in order.

They are here because a document without rows tells none, and a wrong name is wrong then, too.
"""

ACCOUNTING = (
    "allocation job element attempt user project partition nodes cpus memory gpus granted_at "
    "started_at ended_at result exit_status cpu_user_seconds cpu_system_seconds max_rss "
    "read_bytes written_bytes suspended_seconds first_of_job part"
)
USAGE = (
    "period user jobs attempts unsuccessful running held_cpu_seconds used_cpu_seconds "
    "held_gpu_seconds held_memory_byte_seconds max_rss read_bytes written_bytes efficiency"
)
COLUMNS = {
    "access_controls": (
        "partition class name allow kinds max_cpus max_memory priority time_limit running waiting "
        "cpu_minutes"
    ),
    "accounting": ACCOUNTING,
    "configurations": "name active nodes calendar moved since begins_at",
    "handled": (
        "first handler event events state attempt due_at began_at ended_at result exit_status "
        "reason user kind text job element node object"
    ),
    "handlers": "name command event object user timeout retries every waiting",
    "iterations": (
        "rm began_at at because nodes_seconds node_details_seconds jobs_seconds queues_seconds "
        "load_seconds why"
    ),
    "jobs": (
        "id name user project partition rm rm_jobs state result exit_status reason rule priority "
        "kind streams command tasks cpus memory gpus nodes constraint exclusive licences "
        "reservation time_limit_seconds array array_cap elements elements_live elements_done "
        "elements_by_result after held_by not_before submitted_at promised_start started_at "
        "ended_at requeues allocation_nodes unknown_since"
    ),
    "nodes": (
        "name partition rm status word word_by word_at word_reason since unknown_since gone "
        "restless unusable boot_id cpus free_cpus memory free_memory gpus free_gpus generic "
        "free_generic features declared until allocations last_update checked_at age_seconds load"
    ),
    "partitions": (
        "name kind is_default state time_limit default_time min_cpus memory_limit time_slice tier "
        "priority_gap preemption least_run preempt_grace policy factor scheduler shadow prolog "
        "epilog configuration configured_nodes nodes cpus free_cpus allocations jobs_waiting "
        "awaited"
    ),
    "pools": (
        "name most least idle cpus memory time options nodes idle_nodes asked wanted_cpus failures "
        "why"
    ),
    "projects": "name parent shares description",
    "reservations": (
        "name nodes start duration users projects days until utc_offset is_open begins_at ends_at "
        "nodes_now"
    ),
    "resource_managers": (
        "name driver settings enabled interval deadline node_sync job_sync node_purge job_purge "
        "retries retry shares_hosts workers state down_since why title loads nodes_at jobs_at "
        "load_seconds nodes cpus free_cpus jobs"
    ),
    "schedulers": (
        "pid plans last_seconds mean_seconds differences name command state partitions shadow_of "
        "why"
    ),
    "usage": USAGE,
    "users": "name role projects shares",
}
NOUNS = {  # of commands; of others the command itself is the noun
    "access": "access_controls",
    "acct": "accounting",
    "events handled": "handled",
    "pool list": "pools",
    "rm list": "resource_managers",
    "scheduler list": "schedulers",
    "scheduler trace": "iterations",
}
