"""Rules of trade, as a scenario states them: which tariff or ban hits what, and in which months."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from exafleet.facts.deals import Offer, TradeRule
from exafleet.facts.records import Scenario

FOR_GOOD = 10**5   # month index after any horizon


def of_kind(scenario: Scenario, kind: str, stage: str = "") -> Iterator[TradeRule]:
    """The scenario's tariffs or bans, of one stage if it is named."""
    return (r for r in scenario.rules if r.kind == kind and (not stage or r.stage == stage))


def hits(rule: TradeRule, supplier: str, system: str) -> bool:
    """Whether a rule is about what this supplier sells."""
    return (not rule.suppliers or supplier in rule.suppliers) and (not rule.systems or system in rule.systems)


def window(rule: TradeRule, start: int) -> tuple[int, int]:
    """Month indices of a rule: first, and first after it."""
    return rule.first - start, FOR_GOOD if rule.last is None else rule.last + 1 - start


def order_ban(scenario: Scenario, offer: Offer, months: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Calendar months in which nothing may be ordered from an offer. [T]"""
    banned = np.zeros(len(months), dtype=bool)
    for rule in of_kind(scenario, "ban", "order"):
        if hits(rule, offer.supplier, offer.system):
            first, after = window(rule, 0)
            banned |= (months >= first) & (months < after)
    return banned
