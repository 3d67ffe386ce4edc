"""`ostler sim`: replay workload traces with the policies of the machine, and compare them."""

from ostler.cli.main import slow_road
from ostler.cli.options import Given


def main(given: Given) -> int:
    """Replay and print what came out. Needs no machine."""
    slow_road()  # policies and plots need installed packages
    from ostler.cli.sim_traces import replay_traces

    return replay_traces(given)
