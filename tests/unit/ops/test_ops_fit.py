"""Fits give back the curve that made the times, through noise and outliers, and refuse what cannot be told."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.ops import fit
from exafleet.ops.collective import Channel
from exafleet.ops.efficiency import Attention, Moving, Product
from exafleet.ops.measure import Machine, attention_cases, memory_cases, product_cases
from exafleet.ops.roofline import attention_time, grouped_time, memory_time, product_time
from exafleet.terms.errors import FactError

PEAK, HBM = 1e15, 3.35e12
GPU = Machine(kind="cuda", device="cuda:0", name="a GPU", torch="0", driver="0", count=1, nbytes=80e9)
TRUTH = Product(launch=4e-6, compute=0.78, memory=0.86, corner=4.0, m0=20.0, n0=90.0, k0=150.0, grouped=0.7)
FLASH = Attention(launch=7e-6, top=0.66, half=900.0, backward=0.8, width=40.0)
NO_MEMORY = Moving(launch=0.0, share=1.0)


def noise(n: int, seed: int, size: float = 0.03) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(0.0, size, n))


def sizes(cases: list, *names: str) -> list[np.ndarray]:
    return [np.array([float(c.sizes[name]) for c in cases]) for name in names]


def products(quick: bool = False) -> list:
    return [c for c in product_cases(GPU, "bf16", PEAK, HBM, quick=quick) if c.group == "product"]


def product_fit(seed: int, size: float, curve: Product = TRUTH, quick: bool = False) -> fit.Fitted[Product]:
    m, n, k, nbytes = sizes(products(quick), "m", "n", "k", "nbytes")
    time = product_time(m, n, k, nbytes, peak=PEAK, hbm_bw=HBM, curve=curve) * noise(len(m), seed, size)
    return fit.product(m, n, k, nbytes, time, peak=PEAK, hbm_bw=HBM)


@pytest.mark.parametrize("quick", [False, True])
def test_a_product_curve_is_found_again_without_noise(quick: bool) -> None:
    found = product_fit(0, 0.0, quick=quick)
    assert found.sigma < 0.01
    for number in ("launch", "compute", "memory"):
        assert getattr(found.curve, number) == pytest.approx(getattr(TRUTH, number), rel=0.03), number


@pytest.mark.parametrize("seed", range(4))
def test_a_product_curve_foretells_sizes_it_never_saw(seed: int) -> None:
    found = product_fit(seed, 0.03)
    rng = np.random.default_rng(100 + seed)
    m, n, k = (2.0 ** rng.uniform(7, 14, 200) for _ in range(3))
    nbytes = 2.0 * (m * k + k * n + m * n)
    there, here = (product_time(m, n, k, nbytes, peak=PEAK, hbm_bw=HBM, curve=c) for c in (TRUTH, found.curve))
    errors = np.abs(np.log(here / there))
    assert np.median(errors) < 0.03
    assert np.quantile(errors, 0.95) < 0.10
    assert found.sigma == pytest.approx(0.03, abs=0.02)


def test_two_points_ten_times_too_slow_hardly_move_a_curve() -> None:
    m, n, k, nbytes = sizes(products(), "m", "n", "k", "nbytes")
    time = product_time(m, n, k, nbytes, peak=PEAK, hbm_bw=HBM, curve=TRUTH)
    time[[2, 9]] *= 10.0
    found = fit.product(m, n, k, nbytes, time, peak=PEAK, hbm_bw=HBM).curve
    assert found.compute == pytest.approx(TRUTH.compute, rel=0.05)
    assert found.memory == pytest.approx(TRUTH.memory, rel=0.05)


def test_grouped_products_are_found_again() -> None:
    cases = [c for c in product_cases(GPU, "bf16", PEAK, HBM, quick=False) if c.group == "grouped"]
    m, n, k, nbytes, groups = sizes(cases, "m", "n", "k", "nbytes", "groups")
    time = grouped_time(m, n, k, nbytes, peak=PEAK, hbm_bw=HBM, curve=TRUTH, groups=groups) * noise(len(m), 1)
    found = fit.grouped(m, n, k, nbytes, groups, time, peak=PEAK, hbm_bw=HBM, curve=TRUTH)
    assert found.curve.grouped == pytest.approx(TRUTH.grouped, rel=0.06)


def test_every_number_of_a_product_is_fitted_or_told() -> None:
    """A new number of the form must be given a range, a default, or a fit of its own."""
    free = {f.name for f in fields(Product)} - set(fit.PRODUCT_RANGES) - {"grouped"}
    start = fit._first_guess(1e-5)
    assert all(getattr(start, name) == next(f.default for f in fields(Product) if f.name == name) for name in free)


@pytest.mark.parametrize("seed", range(3))
def test_attention_is_found_again(seed: int) -> None:
    cases = attention_cases(GPU, "attention", PEAK, HBM, quick=False)
    flops, seq, backward, head = sizes(cases, "flops", "seq", "backward", "values")
    time = attention_time(flops, 0.0, seq, peak=PEAK, hbm_bw=1.0, curve=FLASH, moving=NO_MEMORY,
                          backward=backward > 0, head=head)
    exact = fit.attention(flops, seq, backward > 0, time, head, peak=PEAK).curve
    found = fit.attention(flops, seq, backward > 0, time * noise(len(seq), seed, 0.02), head, peak=PEAK).curve
    assert exact.width == pytest.approx(FLASH.width, rel=0.15)  # a step of the widths that are tried
    for number, rel in {"top": 0.06, "half": 0.25, "backward": 0.06, "launch": 0.15}.items():
        assert getattr(exact, number) == pytest.approx(getattr(FLASH, number), rel=0.03), number
        assert getattr(found, number) == pytest.approx(getattr(FLASH, number), rel=rel), number


def test_attention_whose_time_does_not_grow_is_refused() -> None:
    seq = np.array([128.0, 256, 512, 1024, 2048, 4096, 8192, 128, 256])
    backward = np.arange(9) > 6
    with pytest.raises(FactError, match="level off"):
        fit.attention(1e6 * seq / seq.min(), seq, backward, 1e-3 / seq, np.full(9, 128.0), peak=PEAK)


@pytest.mark.parametrize("seed", range(3))
def test_memory_bound_kernels_are_found_again(seed: int) -> None:
    cases = [c for c in memory_cases(GPU, HBM, quick=False) if c.at == "elementwise"]
    (nbytes,) = sizes(cases, "nbytes")
    curve = Moving(launch=2.5e-6, share=0.9)
    found = fit.moving(nbytes, memory_time(nbytes, hbm_bw=HBM, curve=curve) * noise(len(nbytes), seed), hbm_bw=HBM)
    assert found.curve.launch == pytest.approx(curve.launch, rel=0.06)
    assert found.curve.share == pytest.approx(curve.share, rel=0.06)
    assert found.points == len(nbytes)


def test_saturating_shares_are_found_again() -> None:
    seq = np.array([512.0, 1024, 4096, 16384])
    assert fit.saturating(seq, 0.7 * seq / (seq + 1100.0)) == pytest.approx((0.7, 1100.0))


@pytest.mark.parametrize("kind", ["all_gather", "reduce_scatter", "all_reduce", "all_to_all", "p2p"])
@pytest.mark.parametrize("ranks", [2, 8])
def test_collectives_are_found_again(kind: str, ranks: int) -> None:
    ranks = 2 if kind == "p2p" else ranks
    truth = Channel(bandwidth=360e9, latency=4e-6, half=3e6)
    nbytes = 2.0 ** np.arange(12, 31)
    time = fit.collective_time(nbytes, kind, ranks, truth)
    found = fit.collective(nbytes, time * noise(len(nbytes), 3), kind, ranks)
    assert found.curve.bandwidth == pytest.approx(truth.bandwidth, rel=0.08)
    other = 3.0 * nbytes[:-2]
    here, there = (fit.collective_time(other, kind, ranks, c) for c in (found.curve, truth))
    assert np.abs(np.log(here / there)).max() < 0.2
    assert found.sigma < 0.12


@given(st.floats(1e-6, 1e-4), st.floats(0.05, 1.2), st.integers(0, 10_000))
def test_a_fitted_time_never_falls_with_size(launch: float, share: float, seed: int) -> None:
    nbytes = 4.0 ** np.arange(6, 16)
    curve = Moving(launch=launch, share=share)
    noisy = memory_time(nbytes, hbm_bw=HBM, curve=curve) * noise(len(nbytes), seed, 0.3)
    found = fit.moving(nbytes, noisy, hbm_bw=HBM).curve
    assert found.launch >= 0.0
    assert (np.diff(memory_time(nbytes, hbm_bw=HBM, curve=found)) > 0).all()


@given(st.floats(0.1, 10.0))
def test_a_machine_twice_as_slow_has_half_the_share(factor: float) -> None:
    nbytes = 4.0 ** np.arange(6, 16)
    time = memory_time(nbytes, hbm_bw=HBM, curve=Moving(launch=3e-6, share=0.8)) * noise(len(nbytes), 5)
    one, other = (fit.moving(nbytes, t, hbm_bw=HBM).curve for t in (time, factor * time))
    assert other.share == pytest.approx(one.share / factor, rel=1e-4)
    assert other.launch == pytest.approx(one.launch * factor, rel=1e-4)


@pytest.mark.parametrize("points", [1, 5, 13])
def test_too_few_points_make_no_curve(points: int) -> None:
    m, n, k, nbytes = (a[:points] for a in sizes(products(), "m", "n", "k", "nbytes"))
    with pytest.raises(FactError, match="too few points"):
        fit.product(m, n, k, nbytes, np.ones(points), peak=PEAK, hbm_bw=HBM)
    with pytest.raises(FactError, match="too few points"):
        fit.moving(nbytes[:3], np.ones(min(points, 3)), hbm_bw=HBM)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(
    ("peak", "kind"), [(1e15, "cuda"), (2.5e15, "cuda"), (1e13, "mps"), (1e9, "cpu"), (1e12, "cpu")]
)
def test_any_device_gets_enough_sizes_and_none_too_long(peak: float, kind: str, quick: bool) -> None:
    here = Machine(kind=kind, device=kind, name="x", torch="0", driver="0", count=1, nbytes=16e9)
    cases = product_cases(here, "bf16", peak, peak / 100, quick=quick)
    flops, groups = sizes(cases, "flops", "groups")
    assert (groups == 1).sum() >= 2 * len(fit.PRODUCT_RANGES)
    assert flops.max() / flops.min() > 1000
    assert max(c.ideal for c in cases) < 0.5
    lengths = sizes(attention_cases(here, "attention", peak, peak / 100, quick=quick), "seq", "backward")
    assert len(set(lengths[0].tolist())) >= 4
    assert (lengths[1] > 0).sum() >= 2
