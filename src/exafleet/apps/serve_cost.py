"""What a deployment costs and draws, for the tokens that go in and those that come out.

Money of the whole pool is split by the time its chips spend on each: where prefill and decode are apart, the chips of
each pool; where they share chips, the engine time of one request's prompt against that of its answer. Energy is what
either phase makes boards draw above idle, and of what is drawn whatever happens the same split.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.hardware import Chip, System
    from exafleet.service.apart.search_apart import ApartResult
    from exafleet.service.search import ServeResult
    from exafleet.terms.parts import Parts

MILLION = 1e6
# Kinds of contract whose newest price is taken, first to last.
BASES = ("on-demand", "reserved", "1yr", "3yr", "5yr", "spot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Rent of one accelerator, and where it is from.

    value   of one chip, host included     [USD/s]
    origin  key of the fact, or the option
    """

    value: float
    origin: str


def price_of(facts: Facts, chip: Chip, words: str | None) -> Price | None:
    """The rent that was named, else the newest fact; None where nobody has published one. Raises FactError."""
    if words is not None:
        return Price(value=rent_of(words), origin="--price")
    for basis in BASES:
        found = _newest(facts, chip.id, basis)
        if found:
            return found
    return None


def _newest(facts: Facts, chip: str, basis: str) -> Price | None:
    """The newest month of a kind of contract: the index of many offers, else one provider's."""
    known = {}
    for at, fact in facts.find(chip, "rent").items():
        kind, _, rest = at.partition(":")
        month, _, provider = rest.partition(":")
        if kind == basis and re.fullmatch(r"\d{4}-\d{2}", month):
            known[month, not provider, -fact.value] = fact
    if not known:
        return None
    best = known[max(known)]
    return Price(value=best.value, origin=best.key)


def rent_of(words: str, option: str = "--price") -> float:
    """A rent that was written, of one accelerator. [USD/s] Raises FactError."""
    from exafleet.terms.errors import FactError, Problem, UnitError
    from exafleet.terms.units import parse

    # A price per hour is that of one accelerator.
    spelt = re.sub(r"/\s*(?:h|hr|hour)\s*$", "/GPU-h", words)
    try:
        found = parse(spelt, "rent")
    except UnitError as error:
        raise UnitError([replace(p, where=option, got=repr(words)) for p in error.problems]) from None
    if found.value < 0 or found.currency != "USD":
        raise FactError(Problem(where=option, what="not a price in USD of zero or more", got=repr(words)))
    return found.value


def shares(found: ServeResult | ApartResult) -> dict[str, float]:
    """Share of the pool's chip time that prompts and answers take. [1]"""
    from exafleet.service.apart.search_apart import ApartResult

    into, out = _pools(found) if isinstance(found, ApartResult) else _phases(found)
    return {"input": into / (into + out), "output": out / (into + out)}


def _pools(found: ApartResult) -> tuple[float, float]:
    """Chips that prefill, and that decode."""
    layout = found.layout
    assert layout is not None
    return float(layout.prefill_count * layout.prefill_chips), float(layout.decode_count * layout.decode_chips)


def _phases(found: ServeResult) -> tuple[float, float]:
    """Engine time of one request's prompt, and of its part of the decode steps it shares with a batch. [s], [s]"""
    token, first, layout = found.token, found.first, found.layout
    assert token is not None
    assert first is not None
    assert layout is not None
    prompt = float(sum(first[n] for n in first.names if n in token.names))
    batch = max(layout.concurrency / (layout.dp * layout.pp), 1.0)
    return prompt, found.task.output_tokens * float(token.total - token["prefill of others"]) / batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Power of a deployment's pool while it carries `rate`.

    it           accelerators, servers, cluster: they add up to all IT power      [P]  [W]
    board        of the mean accelerator, by what makes it draw                    [P]  [W]
    prefill, decode   of a board in the pool of either phase, else while one runs  [W]
    above        drawn above idle by all boards for either phase                   [P]  [W]
    rate         output tokens per second                                         [token/s]
    board_sigma  relative (log) uncertainty of the boards' watts, one deviation    [1]
    unsure       part of an energy per token that moves with the engine's times    [1]
    time_sigma   relative (log) uncertainty of these, one deviation                [1]
    """

    it: Parts
    board: Parts
    prefill: float
    decode: float
    above: Parts
    rate: float
    board_sigma: float
    unsure: float
    time_sigma: float

    @property
    def power_spread(self) -> float:
        """Factor of the 80 % band of all power: boards are unsure, what is around them is as rated."""
        return self._factor(float(self.it["accelerators"] / self.it.total) * self.board_sigma)

    @property
    def energy_spread(self) -> float:
        """Factor of the 80 % band of energy per token."""
        boards = float(self.it["accelerators"] / self.it.total) * self.board_sigma
        return self._factor((boards**2 + (self.unsure * self.time_sigma) ** 2) ** 0.5)

    @staticmethod
    def _factor(sigma: float) -> float:
        from math import exp

        from exafleet.step.serve import BAND

        return exp(BAND * sigma)


def drawn(found: ServeResult | ApartResult, system: System, facts: Facts, rate: float | None = None) -> Drawn:
    """Power of the pool of a deployment, accelerators that no replica needs idle included.

    rate   output tokens per second it carries; the most it can where none is given     [token/s]
    """
    from exafleet.fleet.power import serving_power
    from exafleet.service.deployment_energy import deployment_energy
    from exafleet.service.energy import board
    from exafleet.step.serve import machine
    from exafleet.terms.parts import Parts

    on = machine(system, facts, found.task.engine)
    of, spent = board(facts, on.chip), deployment_energy(found, on, facts, rate=rate)
    carried, used = found.rate if rate is None else rate, sum(_used(found))
    idle = of.idle * on.chip.tdp
    mean = {name: float(spent.pieces[name][0]) * used / found.chips for name in spent.pieces.names}
    mean["idle"] = idle
    it = serving_power(system, facts, sum(mean.values()), found.chips)
    # A unit may be rated below the sum of its accelerators' limits: then every part of a board is cut.
    kept = float(it["accelerators"]) / (sum(mean.values()) * found.chips)
    above = {name: float(spent.parts[name][0]) * carried * kept for name in ("prefill", "decode")}
    # The most a pool carries is unsure, and with it what is drawn whatever happens; at a demand, how long kernels run.
    lasting = float(it.total) - sum(above.values()) if rate is None else mean["running"] * kept * found.chips
    return Drawn(it=it, board=Parts.of("W", {name: value * kept for name, value in mean.items()}),
                 prefill=float(spent.prefill_power[0]), decode=float(spent.decode_power[0]),
                 above=Parts.of("W", above), rate=carried, board_sigma=of.sigma, unsure=lasting / float(it.total),
                 time_sigma=on.engine.sigma)


def _used(found: ServeResult | ApartResult) -> tuple[float, ...]:
    """Chips of the replicas, of either pool where there are two."""
    from exafleet.service.apart.search_apart import ApartResult

    if isinstance(found, ApartResult):
        return _pools(found)
    assert found.layout is not None
    return (float(found.layout.replica * found.layout.replicas),)


def per_token(into: float, out: float, found: ServeResult | ApartResult, rate: float) -> dict[str, float]:
    """Money or energy per second as an amount per token.

    into, out   of the pool, for tokens in and out      [1/s]
    rate        output tokens per second                [token/s]

    Input and output apart, both together over all tokens, and all of it over the output tokens alone.
    """
    task, total = found.task, into + out
    tokens = rate / task.output_tokens * task.input_tokens
    return {"input": into / tokens, "output": out / rate, "blended": total / (tokens + rate),
            "all_over_output": total / rate}


def cost_figures(found: ServeResult | ApartResult, rate: float, price: Price | None) -> dict[str, Any] | None:
    """Cost by kind of token, flat, in USD; None without a price."""
    if price is None:
        return None
    part, pool = shares(found), price.value * found.chips
    each = per_token(pool * part["input"], pool * part["output"], found, rate)
    return {"price_per_gpu_h": price.value * 3600.0, "price_from": price.origin,
            "pool_per_h": pool * 3600.0,
            **{f"{name}_per_million": value * MILLION for name, value in each.items()}, "share": part}


def power_figures(of: Drawn) -> dict[str, Any]:
    """Power of the pool and of one board, flat, in watts."""
    board, spread = float(of.board.total), of.power_spread
    return {"power": float(of.it.total), "power_low": float(of.it.total) / spread,
            "power_high": float(of.it.total) * spread, "power_parts": of.it.as_dict(), "board_power": board,
            "board_parts": of.board.as_dict(), "prefill_board_power": of.prefill, "decode_board_power": of.decode}


def energy_figures(found: ServeResult | ApartResult, of: Drawn) -> dict[str, Any]:
    """All IT energy by kind of token with its 80 % band, flat, in joules per token."""
    part = shares(found)
    lasting = float(of.it.total - of.above.total)
    into, out = (float(of.above[phase]) + lasting * part[kind]
                 for phase, kind in (("prefill", "input"), ("decode", "output")))
    each, spread = per_token(into, out, found, of.rate), of.energy_spread
    bands = {f"{name}_{side}": value * factor for name, value in each.items()
             for side, factor in (("low", 1.0 / spread), ("high", spread))}
    boards = float(of.it["accelerators"])
    return {**each, **bands, "boards_over_output": boards / of.rate}
