"""Records of claims: one as it is written, and a file of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from exafleet.report.claims.claimed import Claimed, Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A computation of a claim beside the one that decides it.

    claimed   what it must give for the claim to hold; None where it only informs
    """

    name: str
    compute: Any
    claimed: Claimed | None
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim as written.

    text        what is claimed, by language
    subject     id of what it is about; baseline: of what it is compared with, or ""
    conditions  what its words fix: options by axis of the reading
    compute     the computation that decides it
    also        further computations
    places      file and line of each key
    """

    id: str
    text: Mapping[str, str]
    quantity: Quantity
    subject: str
    baseline: str
    claimed: Claimed
    day: date
    conditions: Mapping[str, tuple[str, ...]]
    compute: Any
    also: tuple[Part, ...]
    source: str
    note: str
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """A file of claims."""

    title: str
    source: str
    day: date
    claims: tuple[Claim, ...]
    file: str
