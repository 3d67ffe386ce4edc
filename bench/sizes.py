"""How much of everything a run measures."""

from msgspec import Struct


class Sizes(Struct, frozen=True):
    """Counts of one round unless said otherwise. The defaults are the whole bench."""

    rounds: int = 5
    elements: int = 10_000  # ours, xargs and the C loop
    elements_hyperqueue: int = 1_000  # the others are slower; rates are compared
    elements_parallel: int = 500
    elements_slurm: int = 500
    bodies: int = 20  # jobs whose start is timed
    bodies_slurm: int = 5  # sbatch takes up to a second for each
    commands: int = 20  # processes `ostler submit`
    submissions: int = 5_000
    runs: int = 200  # processes `ostler run true`
    behind: tuple[int, ...] = (1_000, 10_000, 100_000)  # jobs that wait
    great_array: int = 1_000_000
    small_array: int = 2_000
    clients: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    submissions_clients: int = 1_600  # over all clients together
    cycle_nodes: tuple[int, ...] = (1_250, 2_500, 5_000, 10_000)
    large_nodes: int = 1_000
    large_jobs: int = 100_000  # that wait
    idle_seconds: float = 10.0
    futures: int = 10_000  # ours and the standard library's pool
    futures_dask: int = 2_000
    foreign_nodes: int = 1_000  # of a resource manager that everyday commands are beside
    loaded_jobs: int = 20_000  # of one that has so many
    loaded_nodes: int = 10_000  # likewise
    asked_nodes: int = 10_000  # of one whose nodes are asked for one by one, 1 ms each
    workers: tuple[int, ...] = (1, 4, 16, 32, 64)  # that ask for them
    long_queue: int = 85_000  # jobs that wait where a scheduler of others plans
    asked: int = 100  # of each command during the great array


SHORT = Sizes(
    rounds=3,
    elements=1_000,
    bodies=10,
    commands=10,
    submissions=1_000,
    runs=30,
    futures=2_000,
    futures_dask=500,
    asked=40,
    large_nodes=100,
    large_jobs=10_000,
    long_queue=10_000,
)
