"""Reason codes: why a candidate cannot run. Inside arrays nothing raises; a mask and a code say what happened."""

from __future__ import annotations

from enum import IntEnum

from exafleet.terms.said import said


class Why(IntEnum):
    """OK means it runs; every other code is a reason a person can act on (`SENTENCES` says it in words)."""

    OK = 0
    HBM_FULL = 1
    NOT_DIVISIBLE = 2
    TOO_SLOW = 3
    NO_DTYPE = 4
    TOO_FEW = 5
    TOO_MANY = 6
    NO_FACTS = 7
    NOT_OFFERED = 8


SENTENCES = {why: said(f"why.{why.name}") for why in Why}
