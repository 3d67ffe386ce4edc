"""The reference of the command line, made from the table: python -m ostler.cli.reference."""

from ostler.cli.click_road import usage
from ostler.cli.columns import COLUMNS
from ostler.cli.table import COMMANDS, GROUPS
from ostler.cli.table_options import Command
from ostler.model.errors import KINDS, OstlerError

_HEAD = """\
# The command line

Written by `python -m ostler.cli.reference` from the table that the commands themselves are read by.

## Everywhere

`ostler [--state DIR] COMMAND [OPTIONS] [WORDS]`. Options may stand before or after words; `--` ends
them. For `run` and `submit` everything from the first word on belongs to the job. `ostler --help`
lists the commands, `ostler COMMAND --help` tells one, `ostler --version` the version.

**Which machine.** `--state DIR`, else the variable `OSTLER_STATE`, else the user's own folder:
`$XDG_STATE_HOME/ostler`, by default `~/.local/state/ostler`. Where that has no socket and the host
has a machine for all users (`up --system`), its folder `/var/lib/ostler` is taken. With `jobs`,
`--state` after the command means states of jobs, unless it holds a `/`.

**Output.** Data goes to stdout, talk to stderr. With `--json` stdout is one JSON document: a plural
noun with a list of objects, as in `{"jobs": [{"id": "12", …}]}`; keys are the database's columns,
ids are strings, times are Unix seconds, sizes bytes, durations end in `_seconds`. `explain` and
`status` print one object. An error is then one line on stderr:
`{"error": {"code": …, "message": …, "expected": …, "hint": …}}`. `events -f --json` prints one
object a line.

**Sizes and times.** Sizes: `512M`, `8G`, `1.5T`. Durations: `90s`, `90m`, `2h`, `1d`, `1h30m`,
`1:30:00`; a bare number is refused, because `#SBATCH` lines mean minutes by it.

**Ids.** Job `12`, element `12_3`, elements `12_[0-9,12]`.

## Exit status

| status | means |
|---|---|
| 0 | done |
| 1 | the thing asked for failed; `wait`: a job did not succeed |
"""
_JOB = (
    "id name user project partition state result exit_status reason rule priority kind command "
    "tasks cpus memory gpus nodes constraint exclusive licences reservation time_limit_seconds array array_cap elements after held_by "
    "not_before submitted_at promised_start started_at ended_at requeues"
)
_NODE = (
    "name partition status word word_by word_at word_reason since unknown_since gone restless "
    "unusable boot_id cpus "
    "free_cpus memory free_memory gpus free_gpus generic free_generic features declared "
    "allocations"
)
_USED = (
    "name was moved moves nodes_moved jobs_running_on_them jobs_that_get_nodes "
    "jobs_that_wait_for_another"
)
_CHANGE = "verb kind name before after text"
_EVENT = "serial at kind job element allocation node user text object dealt_by dealt_at dealt_note"
_EXPLAINED = (
    "id state rule reason expected_start expected_nodes assumption blockers ahead place "
    "priority_parts filters numbers to_start_now starts_now failures elements"
)
_REPLAY = (
    "trace policy rule jobs procs mean_wait median_wait mean_bounded_slowdown utilisation makespan "
    "seconds jobs_per_second compiled load offered_load dropped size_classes length_classes"
)
DOCUMENTS: dict[str, tuple[str, str]] = {
    # command: the noun (empty: the document is one object itself), and the keys of each object
    "submit": ("jobs", "id"),
    "jobs": ("jobs", _JOB),
    "job": ("jobs", f"{_JOB} elements_live elements_done elements_by_result element_rows"),
    "wait": ("jobs", f"{_JOB} elements_done elements_by_result"),
    "run": ("jobs", f"{_JOB} elements_done elements_by_result"),
    "modify": ("jobs", _JOB),
    "cancel": ("jobs", "id ok message"),
    "explain": ("", _EXPLAINED),
    "explain --if": ("", "id supposed supposed_nodes before after difference_seconds answer"),
    "logs": ("files", "id path"),
    "up": ("", "state nodes drivers shortcomings processes jobs epoch"),
    "status": ("", "state nodes drivers shortcomings processes jobs epoch"),
    "nodes": ("nodes", COLUMNS["nodes"]),
    "node": ("nodes", f"{COLUMNS['nodes']} jobs"),
    "contexts": ("contexts", "context node phase job user tasks members"),
    "nodes drain": ("nodes", _NODE),
    "partitions": ("partitions", COLUMNS["partitions"]),
    "partitions create": ("changes", _CHANGE),
    "reservations": ("reservations", COLUMNS["reservations"]),
    "reservations create": ("changes", _CHANGE),
    "access": ("access_controls", COLUMNS["access_controls"]),
    "access allow": ("changes", _CHANGE),
    "users": ("users", COLUMNS["users"]),
    "projects": ("projects", COLUMNS["projects"]),
    "config apply": ("changes", _CHANGE),
    "partitions stop": ("partitions", COLUMNS["partitions"]),
    "configurations": ("configurations", COLUMNS["configurations"]),
    "configurations use": ("configurations", _USED),
    "config effective": ("settings", "key value default set_with help"),
    "config set": ("changes", _CHANGE),
    "events": ("events", _EVENT),
    "events post": ("events", "serial at kind user text"),
    "events handled": ("handled", COLUMNS["handled"]),
    "handlers": ("handlers", COLUMNS["handlers"]),
    "handlers create": ("changes", _CHANGE),
    "history": ("events", _EVENT),
    "acct": ("accounting", COLUMNS["accounting"]),
    "usage": ("usage", COLUMNS["usage"]),
    "query": ("", "columns rows"),
    "sim": ("runs", _REPLAY),
    "doctor": ("findings", "what ok found advice"),
    "lab status": ("members", "name does line load state"),
}
_CODES = {
    2: "usage: what was typed makes no sense",
    3: "refused: access, a limit or the machine's size forbids it; told as `ostler: refused: …`",
    4: "no such job, node or attribute",
    5: "not now: no machine is up, or it cannot at present",
    6: "not supported by this host",
}
_RUN = """\
| 130 | interrupted |

`run` ends with the job's own status: of several tasks the OR of theirs, 128 + signal if one was
killed, 126 and 127 if the command cannot be executed or is not found, and 125 if Ostler ended it
(time limit, memory, cancelled before it started, lost) or it could never start; a sentence on
stderr then says why. Ctrl-C is passed on to the tasks once; the second cancels the job. While no
task runs yet, the first one cancels it.

## Options in scripts

`submit SCRIPT` reads `#OSTLER` and `#SBATCH` lines down to the first line that is neither empty nor
a comment. `#OSTLER` takes the options of `submit`. Of `#SBATCH` these are read: `--account`,
`--array`, `--begin`, `--chdir`, `--constraint`, `--cpus-per-task`, `--dependency` (afterok, afterany,
afternotok, aftercorr), `--error`, `--exclude`, `--exclusive`, `--export`, `--gpus`, `--gpus-per-node`,
`--gpus-per-task`, `--gres`, `--hold`, `--input`, `--job-name`, `--licenses`, `--mail-type`, `--mail-user`,
`--mem`, `--mem-per-cpu`,
`--nodelist`, `--nodes`, `--ntasks`, `--ntasks-per-node`, `--output`, `--partition`, `--requeue`,
`--reservation`, `--signal`, `--spread-job`, `--time`, with their short forms and in Slurm's units; others are told on stderr and left out. Memory and GPUs that
Slurm counts by node or job are divided among the tasks. In file names `%A`, `%a`, `%j`, `%N`, `%t`,
`%u`, `%x` are translated; an array's `%j` alone becomes `%j_%a`. The command line wins over
`#OSTLER`, which wins over `#SBATCH`.

## Environment of a job

The whole environment of `submit` or `run` is carried, as bytes. `--env none` carries nothing,
`--env NAME` only what is named, `--env NAME=VALUE` sets a variable besides; it may be repeated.
"""


def reference() -> str:
    """Return the page."""
    lines = [_HEAD.rstrip("\n")]
    known = sorted({kind.exit_status for kind in KINDS.values()} - {OstlerError.exit_status})
    lines += [f"| {status} | {_CODES[status]} |" for status in known]
    lines += [_RUN.rstrip("\n"), "", *_documents()]
    for group in GROUPS:
        lines += ["", f"## {group}"]
        for command in COMMANDS.values():
            if command.group == group:
                lines += ["", *_command(command)]
    return "\n".join(lines) + "\n"


def _documents() -> list[str]:
    lines = [
        "## Documents",
        "",
        "What `--json` prints has at least these keys. `hold`, `release`, `suspend`, `resume` and",
        "`requeue` print what `cancel` does, a refused row with `code`, `expected` and `hint`",
        "besides; `nodes undrain` prints what `nodes drain` does, `config unset` what `config set`",
        'does. `submit --dry-run` prints `{"would": {…}}` with the keys of `jobs`, `down`',
        '`{"state": …, "up": false, "left": […]}`, the nodes that could not be told.',
        "Of `explain --if`, `before` and `after` are what `explain` prints. Of `sim`,",
        "`dropped` counts jobs by the reason why they were left out, and each of",
        "`size_classes` and `length_classes` has `least` and `most` (processors or seconds; null: no",
        "limit), `jobs`, `mean_wait`, `median_wait`, `mean_bounded_slowdown`; waits and the makespan",
        "are seconds, `seconds` is what the replay took. Columns of the others are explained in",
        "[database.md](database.md).",
        "",
        "| command | list | keys of each object |",
        "|---|---|---|",
    ]
    for command, (noun, keys) in DOCUMENTS.items():
        listed = ", ".join(f"`{key}`" for key in keys.split())
        lines.append(f"| {command} | {f'`{noun}`' if noun else 'one object'} | {listed} |")
    return lines


def _command(command: Command) -> list[str]:
    words = f" {usage(command)}" if command.words[0] else ""
    lines = [f"### {command.name}", "", command.summary, ""]
    lines += ["```sh", f"ostler {command.name} [OPTIONS]{words}", command.example, "```"]
    options = [o for o in command.options if o.name not in ("state", "json", "quiet")]
    if options:
        lines += ["", "| option | means |", "|---|---|"]
    for option in options:
        flags = ", ".join(option.flags) + (f" {option.metavar}" if option.metavar else "")
        again = "; may be repeated" if option.many else ""
        lines.append(f"| `{_cell(flags)}` | {_cell(option.help)}{again} |")
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
