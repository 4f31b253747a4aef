"""Speeds and powers of systems as claims speak of them, under every reading: which unit, format, density and work."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from exafleet.facts.hardware import System
from exafleet.report.claims import amount
from exafleet.report.claims.amount import Amount, plain
from exafleet.report.claims.asking import Asking, NotKnown
from exafleet.report.claims.purchase import superchip
from exafleet.terms.errors import FactError, NoAnswer
from exafleet.terms.said import named, said

UNITS = ("GPU", "superchip", "rack")
SIDES = ("GPU against GPU", "superchip against GPU", "rack against server")
RATES = ("rated peak", "best product measured")
DTYPES = ("bf16", "fp8", "fp4")
PAIRS = ("bf16", "fp8", "fp4 over fp8")
DENSITIES = ("dense", "sparse")
MIXES = ("dense", "sparse", "sparse over dense")
PEAK, PRODUCT, TRAINING, SERVING = WORKS = ("rated peak", "best product measured", "training", "serving")
NO_LIMIT, REAL_TIME = LATENCIES = ("none", "5 s to the first token, 50 ms for each further one")
SPEED_AXES = {"work": WORKS, "unit": SIDES, "dtype": PAIRS, "density": MIXES, "latency": LATENCIES}
COUNTED = ("GPU, rated", "superchip, rated", "rack, rated", "GPU, all IT power")
# A claim that names no model is tried on the one its makers chose, in runs of about a thousand accelerators.
MODEL, SIZE, SEQUENCE, BATCH = "gpt-moe-1.8t", 1024, 8192, 2304
INPUT, OUTPUT, CACHE, POOL = 32_768, 1024, "fp8", 64


# ------------------------------------------------------------------------------------------------------------ rates
def peak(given: Mapping[str, Any], asking: Asking) -> Amount:
    """FLOP/s of one GPU, superchip or rack. [FLOP/s]"""
    machine = _system(given.get("of") or asking.subject, asking)
    rate = asking.choose("rate", RATES)
    dtype = asking.choose("dtype", DTYPES)
    dense = rate != RATES[0] or asking.choose("density", DENSITIES) == "dense"
    chip = _rate(machine, dtype, rate == RATES[0], dense, asking)
    found = amount.multiplied([chip, _in_unit(machine, asking.choose("unit", UNITS), asking)])
    asking.say(said("claims.step.peak", system=machine.id, found=found.written))
    return found


def _rate(machine: System, dtype: str, rated: bool, dense: bool, asking: Asking) -> Amount:
    """FLOP/s of one chip at a number format. [FLOP/s]"""
    chip = machine.chip.id
    found = asking.fact(f"{chip}.{'peak_flops' if rated else 'matmul_rate'}@{dtype}")
    return found if dense else amount.multiplied([found, asking.fact(f"{chip}.sparse_gain@{dtype}")])


def _in_unit(machine: System, unit: str, asking: Asking) -> Amount:
    """Chips of a unit as a plain number."""
    if unit == "GPU":
        return plain(1.0)
    if unit == "rack":
        return asking.fact(f"{machine.id}.chips")
    pair = superchip(asking.facts, asking.facts.subjects.by_id[machine.id])
    if not pair:
        raise NotKnown(said("claims.lacks.superchip", system=machine.id))
    return asking.fact(f"{pair}.chips")


# --------------------------------------------------------------------------------------------------------- speed-up
@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """The subject, the baseline, and the number format of each."""

    over: System
    base: System
    model: str
    formats: tuple[str, str]


def speedup(given: Mapping[str, Any], asking: Asking) -> Amount:
    """How many times as fast the subject is as the baseline, under one reading; axes it names are fixed. [1]"""
    asking = asking.within({axis: given[axis] for axis in SPEED_AXES if axis in given})
    over = _system(given.get("of") or asking.subject, asking)
    base = _system(given.get("over") or asking.baseline, asking)
    work = asking.choose("work", WORKS)
    formats = asking.choose("dtype", _pairs(work, over, base, asking))
    pair = _Pair(over=over, base=base, model=given.get("model", MODEL),
                 formats=(formats, formats) if " over " not in formats else tuple(formats.split(" over ")))  # type: ignore[arg-type]
    each = _SPEEDS[work](pair, asking)
    found = amount.multiplied([each, _sides(pair, asking)])
    asking.say(said("claims.step.speedup", work=named("claims.option", work), formats=named("claims.option", formats),
                    over=over.id, base=base.id, found=found.written))
    return found


def _pairs(work: str, over: System, base: System, asking: Asking) -> tuple[str, ...]:
    """Formats both chips have a rate for; narrower formats than fp8 are served and rated, not trained."""
    term = "matmul_rate" if work == PRODUCT else "peak_flops"
    has = {s.chip.id: asking.facts.find(s.chip.id, term) for s in (over, base)}
    found = []
    for pair in PAIRS:
        first, _, second = pair.partition(" over ")
        if first in has[over.chip.id] and (second or first) in has[base.chip.id]:
            found.append(pair)
    return tuple(p for p in found if not (work == TRAINING and "fp4" in p) and not (work == SERVING and p == "bf16"))


def _sides(pair: _Pair, asking: Asking) -> Amount:
    """GPUs of the subject for one of the baseline's, or of a rack for one of a server's."""
    side = asking.choose("unit", _sides_of(pair, asking))
    if side == SIDES[2]:
        return amount.divided(asking.fact(f"{pair.over.id}.chips"), asking.fact(f"{pair.base.id}.chips"))
    return _in_unit(pair.over, "superchip" if side == SIDES[1] else "GPU", asking)


def _sides_of(pair: _Pair, asking: Asking) -> tuple[str, ...]:
    pairs = superchip(asking.facts, asking.facts.subjects.by_id[pair.over.id])
    return SIDES if pairs else (SIDES[0], SIDES[2])


def _peaks(pair: _Pair, asking: Asking) -> Amount:
    mix = asking.choose("density", MIXES if _sparse_known(pair, asking) else ("dense",))
    above = _rate(pair.over, pair.formats[0], True, mix == "dense", asking)
    return amount.divided(above, _rate(pair.base, pair.formats[1], True, mix != "sparse", asking))


def _sparse_known(pair: _Pair, asking: Asking) -> bool:
    keys = (f"{pair.over.chip.id}.sparse_gain@{pair.formats[0]}", f"{pair.base.chip.id}.sparse_gain@{pair.formats[1]}")
    return all(asking.facts.try_get(key) is not None for key in keys)


def _products(pair: _Pair, asking: Asking) -> Amount:
    above, below = (_rate(s, d, False, True, asking) for s, d in zip((pair.over, pair.base), pair.formats, strict=True))
    return amount.divided(above, below)


def _training(pair: _Pair, asking: Asking) -> Amount:
    """Tokens/s per GPU of the best layouts, with their 80 % bands. [1]"""
    above, below = (_trained(s, pair.model, d, asking) for s, d in zip((pair.over, pair.base), pair.formats,
                                                                       strict=True))
    return amount.divided(above, below)


def _trained(machine: System, model: str, dtype: str, asking: Asking) -> Amount:
    """Tokens/s of one GPU in a run of about SIZE. [token/s]"""
    chips = math.ceil(SIZE / machine.chips) * machine.chips
    rate = asking.keep(("train", machine.id, model, dtype, chips),
                       lambda: _search(machine, model, dtype, chips, asking))
    if rate is None:
        raise NotKnown(said("claims.lacks.layout", model=model, chips=chips, system=machine.id, dtype=dtype))
    command = f"exafleet train {model} --system {machine.id} --gpus {chips} --dtype {dtype}"
    asking.say(said("claims.step.train", command=command, rate=rate.written))
    return rate  # type: ignore[no-any-return]


def _search(machine: System, model: str, dtype: str, chips: int, asking: Asking) -> Amount | None:
    from exafleet.facts.architecture import arch
    from exafleet.step.limits import PLAIN, Limits
    from exafleet.step.search import search_train
    from exafleet.step.train import TrainTask

    with _known_by(asking):
        task = TrainTask(arch=arch(asking.facts, model), seq=SEQUENCE, batch=BATCH, dtype=dtype)
        best = search_train(task, machine, chips, asking.facts, limits=Limits(**PLAIN)).best
    if best is None:
        return None
    value, low, high = (float(x[0]) / chips for x in (best.tokens_per_s, best.low, best.high))
    return Amount(value=value, low=low, high=high, dims=amount.dims_of("token_rate"), predicted=True)


def _serving(pair: _Pair, asking: Asking) -> Amount:
    """Output tokens/s per GPU at a latency, with the 80 % band of the ratio. [1]"""
    latency = asking.choose("latency", LATENCIES)
    ttft, tpot = (math.inf, math.inf) if latency == NO_LIMIT else (5.0, 0.050)
    sides = [asking.keep(("serve", s.id, pair.model, d, latency), lambda s=s, d=d: _served(s, pair.model, d, ttft,  # type: ignore[misc]
                                                                                          tpot, asking))
             for s, d in zip((pair.over, pair.base), pair.formats, strict=True)]
    for machine, dtype, (rate, chips, _) in zip((pair.over, pair.base), pair.formats, sides, strict=True):
        asking.say(said("claims.step.serve", model=pair.model, chips=chips, system=machine.id, dtype=dtype, input=INPUT,
                        output=OUTPUT, latency=named("claims.option", latency), rate=rate))
    (above, _, over), (below, _, base) = sides
    if below == 0 or above == 0:
        raise NotKnown(said("claims.lacks.deployment", model=pair.model))
    from exafleet.service.curve import ratio_band, shared_error

    low, high = ratio_band(over[:, 0], base[:, 0], shared_error(asking.facts))
    ratio = above / below
    return Amount(value=ratio, low=min(low, ratio), high=max(high, ratio), dims=amount.PURE, predicted=True)


def _served(machine: System, model: str, dtype: str, ttft: float, tpot: float,
            asking: Asking) -> tuple[float, int, Any]:
    """Output tokens/s of one GPU, the pool it was found on, and the rates if the model errs. [token/s]"""
    from exafleet.facts.architecture import arch
    from exafleet.service.curve import rates_by_error, serve_curve
    from exafleet.step.serve import ServeTask

    chips = math.ceil(POOL / machine.chips) * machine.chips
    with _known_by(asking):
        task = ServeTask(arch=arch(asking.facts, model), input_tokens=INPUT, output_tokens=OUTPUT, ttft=ttft, tpot=tpot,
                         dtype=dtype, kv_dtype=CACHE)
        point = serve_curve(task, machine, chips, asking.facts, [tpot])[0]
        return point.rate if point else 0.0, chips, rates_by_error(task, machine, chips, asking.facts, [tpot])


_SPEEDS = {PEAK: _peaks, PRODUCT: _products, TRAINING: _training, SERVING: _serving}


# ------------------------------------------------------------------------------------------------------------ power
def power(given: Mapping[str, Any], asking: Asking) -> Amount:
    """Watts of one GPU, superchip or rack. [W]"""
    machine = _system(given.get("of") or asking.subject, asking)
    pair = superchip(asking.facts, asking.facts.subjects.by_id[machine.id])
    keys = {COUNTED[0]: f"{machine.chip.id}.tdp", COUNTED[1]: f"{pair}.tdp", COUNTED[2]: f"{machine.id}.power_max",
            COUNTED[3]: f"{machine.chip.id}.it_power"}
    known = {way: key for way, key in keys.items() if asking.facts.try_get(key) is not None}
    if not known:
        raise NotKnown(said("claims.lacks.power", system=machine.id))
    return asking.fact(known[asking.choose("counted", tuple(known))])


def _system(name: str, asking: Asking) -> System:
    """A system by name; one whose figures are not known by the day leaves the claim open."""
    from exafleet.facts.hardware import system

    with _known_by(asking):
        return asking.keep(("system", name), lambda: system(asking.facts, name))  # type: ignore[no-any-return]


@contextmanager
def _known_by(asking: Asking) -> Iterator[None]:
    """What a model lacks as of the facts' day is what would decide the claim."""
    try:
        yield
    except (FactError, NoAnswer) as error:
        raise NotKnown(said("claims.lacks.figures", day=asking.facts.as_of.isoformat(),
                            missing=[p.what for p in error.problems[:3]])) from None
