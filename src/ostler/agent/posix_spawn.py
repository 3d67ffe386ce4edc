"""posix_spawn(3) with everything made ready once, so that a repeated start changes a few words.

`os.posix_spawn` builds the arguments, the environment and the attributes anew at each call; for
a task of a millisecond that is a tenth of our own part in it.
"""

import ctypes
import os
import signal

_libc = ctypes.CDLL(None)
_ROOM = 1024  # bytes, more than either opaque structure of glibc (80, 336) and musl (80, 336)
_MOST_OWN = 8  # entries of the environment that change from start to start
_SIGSET_BYTES = 128  # sizeof(sigset_t) of both
_SETPGROUP, _SETSIGDEF, _SETSIGMASK, _SETSID = 0x02, 0x04, 0x08, 0x80  # of both

_spawn = _libc.posix_spawn
_spawn.argtypes = (ctypes.c_void_p,) * 6
_add_dup2 = _libc.posix_spawn_file_actions_adddup2
_add_dup2.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
_add_open = _libc.posix_spawn_file_actions_addopen
_add_open.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint)

# Ignored signals pass to tasks: Python ignores SIGPIPE and SIGXFSZ, the zygote SIGINT, and whoever
# started the daemons may ignore any other.
_DEFAULT_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


Path = ctypes.Array[ctypes.c_char]
c_path = ctypes.create_string_buffer  # a path as C reads it, at an address of its own


def _attributes(*, session: bool) -> ctypes.Array[ctypes.c_char]:
    """Return attributes for a group or session of its own, no blocked and no ignored signal."""
    attributes = ctypes.create_string_buffer(_ROOM)
    _libc.posix_spawnattr_init(attributes)
    none = ctypes.create_string_buffer(_SIGSET_BYTES)
    _libc.posix_spawnattr_setsigmask(attributes, none)
    bits = sum(1 << (signum - 1) for signum in _DEFAULT_SIGNALS)
    every = ctypes.create_string_buffer(bits.to_bytes(_SIGSET_BYTES, "little"), _SIGSET_BYTES)
    _libc.posix_spawnattr_setsigdefault(attributes, every)
    flags = _SETSIGDEF | _SETSIGMASK | (_SETSID if session else _SETPGROUP)
    _libc.posix_spawnattr_setflags(attributes, ctypes.c_short(flags))
    return attributes


class Prepared:
    """A command that can be started again and again, each time as leader of a process group.

    argv, fixed: arguments, and the NAME=VALUE of all its starts. session: it leads a session too.
    on_terminal: the first of `set_three` is a terminal; it becomes all three, and the session's.
    """

    __slots__ = (
        "_actions", "_argv", "_attributes", "_calls", "_env", "_fixed", "_on_terminal", "_pid",
        "_pid_at", "three",
    )  # fmt: skip

    def __init__(
        self, argv: list[bytes], fixed: list[bytes], *, session: bool, on_terminal: bool = False
    ) -> None:
        self._on_terminal = on_terminal
        self._argv = (ctypes.c_char_p * (len(argv) + 1))(*argv, None)
        self._env = (ctypes.c_char_p * (len(fixed) + _MOST_OWN + 1))(*fixed)
        self._fixed = len(fixed)
        self._pid = ctypes.c_int()
        self._pid_at = ctypes.addressof(self._pid)
        self._attributes = _attributes(session=session)
        self._actions = ctypes.create_string_buffer(_ROOM)
        self.three = (-1, -1, -1)
        _libc.posix_spawn_file_actions_init(self._actions)
        # The numbers stay valid, as the objects stay where they are while this one lives.
        self._calls = (
            ctypes.addressof(self._actions),
            ctypes.addressof(self._attributes),
            ctypes.addressof(self._argv),
            ctypes.addressof(self._env),
        )

    def set_three(self, three: tuple[int, int, int]) -> None:
        """Say what becomes 0, 1 and 2; each must be above 2."""
        _libc.posix_spawn_file_actions_destroy(self._actions)
        _libc.posix_spawn_file_actions_init(self._actions)
        actions = ctypes.addressof(self._actions)
        if self._on_terminal:
            # Opened by the first of a session, a terminal becomes its controlling one.
            _add_open(actions, 0, b"/proc/self/fd/%d" % three[0], os.O_RDWR, 0)
            three = (0, 0, 0)
        for number, fd in enumerate(three):
            _add_dup2(actions, fd, number)
        self.three = three

    def start(self, program: Path, own: list[bytes]) -> int:
        """Start it, with more NAME=VALUE behind the fixed ones; return the pid. Raises OSError.

        own: at most 8.
        """
        env, index = self._env, self._fixed
        for entry in own:
            env[index] = entry
            index += 1
        env[index] = None
        error = _spawn(self._pid_at, ctypes.addressof(program), *self._calls)
        if error:
            raise OSError(error, os.strerror(error))
        return self._pid.value

    def __del__(self) -> None:
        _libc.posix_spawn_file_actions_destroy(self._actions)
