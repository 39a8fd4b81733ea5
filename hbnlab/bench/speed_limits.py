"""The most that could be saved, by FLOPs and by measured times."""

from collections.abc import Mapping, Sequence

from hbnlab.costs import branch_macs, macs_to_exits, stage_macs
from hbnlab.models import EarlyExitNetwork
from hbnlab.policies import ForcedExit, policy_macs

Costs = Sequence[int] | Sequence[float]  # FLOPs or seconds, one per exit


def early_exit_limit(costs: Costs, shares: Sequence[float]) -> float:
    """Speed-up of leaving early over running to the last exit, if nothing else took time.

    Args:
        costs: FLOPs or seconds up to each exit, c_k.
        shares: of the images that leave there, f_k, with the sum 1.

    Returns:
        c_last / sum over k of f_k c_k.
    """
    return costs[-1] / mean_cost(costs, shares)


def one_pass_limit(costs: Costs, last: int | float, tolerances: int) -> float:
    """Speed-up of one pass over a run for every tolerance at every exit, if policies were free.

    Args:
        costs: of a run that ends at each exit.
        last: of the one pass.
        tolerances: how many at each exit.
    """
    return tolerances * sum(costs) / last


def mean_cost(costs: Costs, shares: Sequence[float]) -> float:
    """What an image costs on average when these shares leave at each exit."""
    return sum(share * cost for share, cost in zip(shares, costs, strict=True))


def flops_to_exits(network: EarlyExitNetwork) -> list[int]:
    """FLOPs per image up to each exit, including every branch on the way."""
    return [2 * macs for macs in macs_to_exits(network)]


def pruned_flops_to_exits(network: EarlyExitNetwork) -> list[int]:
    """FLOPs per image up to each exit when no other branch is consulted."""
    macs = stage_macs(network), branch_macs(network)
    return [2 * policy_macs(ForcedExit(e), *macs)[e] for e in range(network.num_exits)]


def peak_flops(seconds: Mapping[str, float]) -> float:
    """FLOPs per second of the faster of matrix product and convolution, timed by ``Work.peak``."""
    return 1e12 / min(seconds["10^12 FLOPs, matrix"], seconds["10^12 FLOPs, convolution"])
