"""One number, once: its key, value, unit, source, place in the source and date.

A fact's key is `subject.term` or `subject.term@at`: "h100-sxm.hbm_bw", "h100-sxm.peak_flops@fp8",
"h100.rent@1yr:2025-10". Values are in base units; `unit` is how the source wrote it, for printing only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

# Best evidence first. When two facts with the same key are both visible, the better kind wins, then the newer date;
# the scenario's own facts win over the package's whatever their kind. Losers are kept and listed as competing.
KINDS = ("measured", "spec", "published", "price", "estimate", "inferred", "rumour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A sourced number. `low` and `high` bound it where sources disagree (equal to `value` where they do not say)."""

    subject: str
    term: str
    at: str
    value: float
    low: float
    high: float
    unit: str
    kind: str
    source: str
    where: str
    as_of: date
    note: str = ""
    file: str = ""
    line: int = 0
    own: bool = False

    @property
    def key(self) -> str:
        """"subject.term" or "subject.term@at"."""
        return f"{self.subject}.{self.term}@{self.at}" if self.at else f"{self.subject}.{self.term}"


def split_key(key: str) -> tuple[str, str, str]:
    """Subject, term and qualifier of a key. Terms hold no dot, subjects may.

    >>> split_key("llama-3.1-405b.layers")
    ('llama-3.1-405b', 'layers', '')
    """
    body, _, at = key.partition("@")
    subject, _, term = body.rpartition(".")
    return subject, term, at
