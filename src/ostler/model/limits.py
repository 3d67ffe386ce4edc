"""Limits on every size that comes from outside. Imports nothing."""

MAX_FRAME = 32 << 20  # bytes of one message
MAX_ENVIRONMENT = 2 << 20  # bytes of one job's environment
MAX_SCRIPT = 8 << 20  # bytes
MAX_JOBS_FILE = 16 << 20  # bytes of a file with several jobs
MAX_ITEMS = 24 << 20  # bytes of the lines of --each
MAX_ARGV = 1 << 20  # bytes of a command with all its arguments
MAX_ARGUMENTS = 32_768
MAX_COMMAND = 4_096  # characters of a command as it is shown to people
MAX_ARRAY = 1_000_000  # elements
MAX_ELEMENT = 9_999_999  # highest element number
MAX_TASKS = 100_000
MAX_CPUS = 1_000_000
MAX_NAME = 200  # characters of a name, project or partition
MAX_PATH = 4_095  # bytes
MAX_DEPENDENCIES = 1_000
MAX_TOGETHER = 10_000  # jobs of one submission
MAX_UNFINISHED_STEPS = 4_000  # in one allocation: each of its moves looks at all of them
MAX_LINKS = 100_000  # dependencies among the jobs of one submission
MAX_GENERIC = 32  # kinds of named resources
MAX_LICENCES = 100  # names of licences that a machine has
MAX_LICENCE = 1_000_000  # of one licence
MAX_FEATURES = 64  # of one node
MAX_CONSTRAINT = 1_000  # characters of an expression over features
MAX_NESTED = 20  # parentheses and ! in one another there
MAX_GROUPS = 16  # counted groups of nodes there
MAX_FOREIGN_CPUS = 65_536  # of one node that a resource manager lists
MAX_FOREIGN_NODES = 100_000  # that one resource manager lists
MAX_FOREIGN_JOBS = 200_000  # likewise; ended ones as many again
MAX_CHANGES = 10_000  # rows of the site in one request
MAX_TEXT = 4_096  # characters of an attribute that is text
USUAL_PRIORITY = 50  # of a job that says none
MAX_RETRIES = 1_000
MAX_REFS = 2_000  # jobs named in one request
MAX_REF = 100_000  # characters of one such name, which may list elements
MAX_NAMED = 100_000  # elements named in one request, so that its answer fits into a frame
MAX_WAITING = 200_000  # unfinished jobs of one user
MAX_WAITING_BYTES = 256 << 20  # of memory that their commands and lists take
MAX_MORE_NODES = 10_000  # that are supposed at once
MAX_SUPPOSED = 16  # kinds of nodes that are supposed
MAX_SENTENCE = 1_000  # characters of the text of a posted event
MAX_SUBSCRIBERS = 32  # of one user
MAX_QUERY = 65_536  # characters of one SQL statement
MAX_TRACE_LINE = 65_536  # bytes of a line of a workload trace
MAX_TRACE_JOBS = 10_000_000  # of one trace
MAX_WINDOW = 65_535  # rows or columns of a terminal
UID_MIN = 1_000  # lowest uid whose tasks a system machine runs; below are accounts of services
# Which tasks of a `run` read its standard input: that of rank 0, each of them, or none.
STDIN = ("first", "all", "none")
# Soft limits of processes that travel from a submission to its tasks, in the kernel's units; -1 is
# unlimited. The hard ones are the node's.
RLIMITS = ("as", "core", "cpu", "data", "fsize", "memlock", "nofile", "nproc", "stack")
