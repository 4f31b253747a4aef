"""A figure of a text, and which characters of it are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure of a text: where it stands, what kind it is, and the words `claims check` reads it by.

    claimed    as `claimed` is written; "" for a day whose year the text does not say
    counted    what a count counts, or what a price is of, in the text's words
    """

    start: int
    end: int
    quantity: str
    claimed: str
    unit: str
    counted: str = ""


class Busy:
    """Which characters belong to a name or a day already."""

    def __init__(self, length: int, spans: Sequence[tuple[int, int]]) -> None:
        self.map = bytearray(length + 1)
        for start, end in spans:
            self.take(start, end)

    def take(self, start: int, end: int) -> None:
        """Mark characters as belonging to something."""
        self.map[start:end] = b"\1" * (end - start)

    def free(self, start: int, end: int) -> bool:
        """Whether none of these characters belongs to anything."""
        return self.map.find(1, start, end) < 0
