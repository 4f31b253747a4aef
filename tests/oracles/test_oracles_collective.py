"""Collectives against a step-by-step simulation of the ring."""

import pytest

from exafleet.ops.collective import KINDS, Channel, Fabric, all_gather, all_reduce

NET = Fabric(system="ring", domain=64, nic={},
             link=dict.fromkeys(KINDS, Channel(bandwidth=100e9, latency=0.0, half=0.0)))


def ring_all_gather(size: float, ranks: int, bandwidth: float) -> tuple[float, bool]:
    """Pass pieces to the right until everybody has all of them: time, and whether everybody does."""
    have = [{r} for r in range(ranks)]
    sending, time = list(range(ranks)), 0.0
    for _ in range(ranks - 1):
        sending = [sending[(r - 1) % ranks] for r in range(ranks)]
        for r in range(ranks):
            have[r].add(sending[r])
        time += size / ranks / bandwidth
    return time, all(h == set(range(ranks)) for h in have)


@pytest.mark.parametrize("ranks", [2, 3, 8, 64])
def test_all_gather_takes_the_time_of_the_ring(ranks: int) -> None:
    time, complete = ring_all_gather(1e9, ranks, 100e9)
    assert complete
    assert float(all_gather(1e9, ranks, 1, NET)) == pytest.approx(time)


@pytest.mark.parametrize("ranks", [2, 8, 64])
def test_all_reduce_is_a_scatter_and_a_gather(ranks: int) -> None:
    time, _ = ring_all_gather(1e9, ranks, 100e9)
    assert float(all_reduce(1e9, ranks, 1, NET)) == pytest.approx(2 * time)
