"""What is said to the relay that holds the standard streams of a job's tasks on one node.

    tasks ──pipes or a terminal──▶ relay ──STATE/node/streams/NAME──▶ client of `run`, `attach`
                                     ▲──────── the same socket ────── starter

Frames as in `wire.frames`, MessagePack maps. The relay serves its user and root, nobody else.

Client -> relay
    attach  {"version", "window": [rows, columns] or None}: the one before it, if any, is sent away
    ack     {"bytes"}: so many more of what `out` brought are where they belong
    in      {"data"}: standard input; at most `WINDOW` bytes beyond what `took` has told
    eof     {}: its end
    window  {"window": [rows, columns]}: the terminal has another size
    shut    {"stream"}: nobody reads 1 or 2 any more, so who writes to it is to learn that
    keep    {}: the job is to go on without a client, so wait long for the next one
    quit    {}: go, if no task has a stream
Relay -> client
    attached {"version", "stdin", "pty", "waits"}: stdin false: no task reads it, or its end has
            come. waits: bytes of it that an earlier client sent and `took` has not told of
    out     {"stream", "data"}: of 1 or 2; at most about `WINDOW` bytes are unacknowledged. What the
            last client has not acknowledged comes again to the next
    took    {"bytes"}: so many more of standard input are with the tasks
    shut    {"stream": 0}: no task reads standard input any more
    end     {}: no task has a stream, and all that was written is sent; said at once where none has
            begun
    again   {}: what was said of the end is over
    taken   {}: another client has come
Starter -> relay
    tasks   {"ranks"}: those of its tasks. Answered by descriptors (SCM_RIGHTS) in messages `fds`
            {"count", "left"}, then
    threes  {"threes": [[in, out, err], ...]}: for each task, by their places among the descriptors
    started {}: the tasks have theirs. Where this never comes, another starter may ask

Nobody buffers more than `WINDOW` bytes in either direction, and whoever has no room stops reading:
so a slow reader makes the task wait.
"""

from ostler.model.limits import STDIN

VERSION = 1
FOLDER = "node/streams"  # in the state folder
WINDOW = 1 << 18  # bytes
PIECE = 1 << 16  # bytes read at once
MOST_FDS = 200  # descriptors of one message; the kernel takes 253
FIRST, ALL, NONE = STDIN


def relay_name(job: int, step: int = -1) -> str:
    """Return the name of a job's relay, and of its socket; `12.3` becomes 12-3."""
    return f"{job}-{step}" if step >= 0 else str(job)
