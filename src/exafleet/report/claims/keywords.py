"""Where the few English words stand that a figure or a day can begin with or hold: one pass over a text, and a look-up.

Searching a text for each of these words with a pattern of its own costs many passes; most words are none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_WORD = re.compile(r"[A-Za-z]+")


class Keywords:
    """Places of the words of some kinds. kinds: the words of each kind, in small letters."""

    def __init__(self, kinds: Mapping[str, Iterable[str]]) -> None:
        self._kinds: dict[str, tuple[str, ...]] = {}
        for kind, words in kinds.items():
            for word in words:
                self._kinds[word] = (*self._kinds.get(word, ()), kind)
        self.names = tuple(kinds)

    def places(self, plain: str) -> dict[str, list[tuple[int, int]]]:
        """Start and end of every word, by kind."""
        found: dict[str, list[tuple[int, int]]] = {kind: [] for kind in self.names}
        known: dict[str, tuple[str, ...]] = {}
        for match in _WORD.finditer(plain):
            word = match[0]
            kinds = known.get(word)
            if kinds is None:
                kinds = known[word] = self._kinds.get(word.lower(), ())
            for kind in kinds:
                found[kind].append(match.span())
        return found
