"""One side of the row `futures`, as a program: NAME WORKERS COUNT.

Every contender gets the same function of this very program, warm workers, and the way its own
documentation shows for many futures. Prints one line: futures a second, and the median of one call
awaited at once, in microseconds.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any

ALONE = 200  # calls, each awaited before the next


def small(number: int) -> int:
    """Do next to nothing."""
    return number + 1


def measure(count: int, one: Callable[[int], Any], many: Callable[[range], Sequence[Any]]) -> None:
    """Time `count` futures, then single calls. one, many: return results."""
    many(range(100))
    began = time.perf_counter()
    found = many(range(count))
    seconds = time.perf_counter() - began
    if list(found) != list(range(1, count + 1)):
        sys.exit("wrong results")
    alone = []
    for number in range(ALONE):
        at = time.perf_counter()
        one(number)
        alone.append(time.perf_counter() - at)
    print(count / seconds, 1e6 * statistics.median(alone))


def measure_executor(executor: Executor, workers: int, count: int) -> None:
    """Measure one of concurrent.futures."""
    with executor:
        for began in [executor.submit(time.sleep, 0.2) for _ in range(workers)]:
            began.result()
        measure(
            count,
            lambda number: executor.submit(small, number).result(),
            lambda numbers: [f.result() for f in [executor.submit(small, n) for n in numbers]],
        )


def main() -> None:
    """Measure the one that is named."""
    name, workers, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if name == "ours":
        import ostler

        measure_executor(ostler.Executor(workers), workers, count)
    elif name == "pool":
        measure_executor(ProcessPoolExecutor(workers), workers, count)
    else:
        from distributed import Client, LocalCluster  # type: ignore[import-not-found]

        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            measure(
                count,
                lambda number: client.submit(small, number, pure=False).result(),
                lambda numbers: client.gather(client.map(small, numbers, pure=False)),
            )


if __name__ == "__main__":
    main()
