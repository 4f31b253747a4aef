"""What a deployment costs and draws, for the tokens that go in and those that come out.

Money and energy of the whole pool are split by the time its chips spend on each: where prefill and decode are apart,
the chips of each pool; where they share chips, the engine time of one request's prompt against that of its answer.
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
        return Price(value=_rent(words), origin="--price")
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


def _rent(words: str) -> float:
    from exafleet.terms.errors import FactError, Problem, UnitError
    from exafleet.terms.units import parse

    # A price per hour is that of one accelerator.
    spelt = re.sub(r"/\s*(?:h|hr|hour)\s*$", "/GPU-h", words)
    try:
        found = parse(spelt, "rent")
    except UnitError as error:
        raise UnitError([replace(p, where="--price", got=repr(words)) for p in error.problems]) from None
    if found.value < 0 or found.currency != "USD":
        raise FactError(Problem(where="--price", what="not a price in USD of zero or more", got=repr(words)))
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


def drawn(system: System, facts: Facts, chips: int) -> Parts:
    """IT power of the pool while it serves. [P]  [W]"""
    from exafleet.fleet.power import Activity, power

    return power(system, facts, Activity.SERVING, chips)


def per_token(total: float, found: ServeResult | ApartResult, rate: float) -> dict[str, float]:
    """Money or energy per second as an amount per token.

    total   of the pool                          [1/s]
    rate    output tokens per second              [token/s]

    Input and output apart, both together over all tokens, and all of it over the output tokens alone.
    """
    part, task = shares(found), found.task
    into = rate / task.output_tokens * task.input_tokens
    return {"input": total * part["input"] / into, "output": total * part["output"] / rate,
            "blended": total / (into + rate), "all_over_output": total / rate}


def cost_figures(found: ServeResult | ApartResult, rate: float, price: Price | None) -> dict[str, Any] | None:
    """Cost by kind of token, flat, in USD; None without a price."""
    if price is None:
        return None
    each = per_token(price.value * found.chips, found, rate)
    return {"price_per_gpu_h": price.value * 3600.0, "price_from": price.origin,
            "pool_per_h": price.value * found.chips * 3600.0,
            **{f"{name}_per_million": value * MILLION for name, value in each.items()}, "share": shares(found)}


def energy_figures(found: ServeResult | ApartResult, rate: float, watts: Parts) -> dict[str, Any]:
    """Energy by kind of token, flat, in joules per token."""
    return per_token(float(watts.total), found, rate)
