"""HyperQueue's side of the bench; runs in the environment that has its package.

serve FOLDER CPUS: server and worker, until stdin ends
client FOLDER: connected; reads requests from stdin, words with tabs between them
submit FOLDER: connect, submit one task, end

Answers go to stdout as lines that begin with `answer `.
"""

import sys
import time
from collections.abc import Mapping, Sequence

from hyperqueue import Client, Job, LocalCluster  # type: ignore[import-not-found]
from hyperqueue.cluster import WorkerConfig  # type: ignore[import-not-found]

POLL = 0.02  # seconds; the library alone looks once a second


class NotYetError(Exception):
    """Breaks the library's wait, which calls back after each look."""


def answer(*values: object) -> None:
    """Send one answer."""
    print("answer", *values, flush=True)


def job_of(argv: Sequence[str], count: int = 1) -> Job:
    """Return a job of so many tasks, output discarded."""
    job = Job()
    for _ in range(count):
        job.program(list(argv), stdout=None, stderr=None)
    return job


def wait(client: Client, submitted: Job) -> None:
    """Wait until a job has ended well."""

    def look(jobs: Mapping[int, Mapping[str, object]]) -> None:
        if not all(status["completed"] for status in jobs.values()):
            raise NotYetError

    while True:
        try:
            if client.connection.wait_for_jobs([submitted.id], look):
                sys.exit("tasks failed")
        except NotYetError:
            time.sleep(POLL)
        else:
            return


def serve(folder: str, cpus: int) -> None:
    """Be server and worker until stdin ends."""
    cluster = LocalCluster(folder)
    cluster.start_worker(WorkerConfig(cores=cpus))
    answer("up")
    sys.stdin.read()
    cluster.stop()


def attend(folder: str) -> None:
    """Do what is asked until stdin ends."""
    client = Client(folder)
    answer("connected")
    for line in sys.stdin:
        verb, *words = line.rstrip("\n").split("\t")
        if verb == "run":
            job = job_of(["/bin/true"], int(words[0]))
            began = time.perf_counter()
            wait(client, client.submit(job))
            answer(time.perf_counter() - began)
        elif verb == "body":
            at = time.monotonic_ns()
            client.submit(job_of(words))
            answer(at)


def main(verb: str, folder: str, *words: str) -> None:
    """Be one of the three."""
    if verb == "serve":
        serve(folder, int(words[0]))
    elif verb == "client":
        attend(folder)
    else:
        Client(folder).submit(job_of(["/bin/true"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
