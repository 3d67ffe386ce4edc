"""How our daemons log: a constant message and its fields, one line each, on stderr."""

import logging

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Fields(logging.Formatter):
    """Prints what was given as `extra` behind the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return `time level message key=value ...`, with a traceback where there is one."""
        fields = [f"{k}={v!r}" for k, v in vars(record).items() if k not in _OWN]
        return " ".join([super().format(record), *fields])


def log_to_stderr() -> None:
    """Set up logging for this process."""
    handler = logging.StreamHandler()
    handler.setFormatter(Fields("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
