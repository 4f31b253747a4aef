"""Reason codes: why a candidate cannot run. Inside arrays nothing raises; a mask and a code say what happened."""

from __future__ import annotations

from enum import IntEnum


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


SENTENCES = {
    Why.OK: "runs",
    Why.HBM_FULL: "does not fit in memory",
    Why.NOT_DIVISIBLE: "no layout divides the model, the batch and the accelerators",
    Why.TOO_SLOW: "misses its latency target",
    Why.NO_DTYPE: "the chip has no hardware for this data type",
    Why.TOO_FEW: "fewer accelerators than the job needs",
    Why.TOO_MANY: "more accelerators than the job can use or the system offers",
    Why.NO_FACTS: "a figure it needs is not known as of this date",
    Why.NOT_OFFERED: "the scenario keeps this job off this system",
}
