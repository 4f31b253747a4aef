"""What a sweep that was stopped had finished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep. `finished` holds (place, result) of the items that were done, in their order."""

    def __init__(self, finished: Sequence[tuple[int, Any]], of: int) -> None:
        self.finished = tuple(finished)
        self.of = of
        super().__init__(f"{len(self.finished)} of {of} were finished")

    def __reduce__(self) -> tuple[type, tuple[tuple[tuple[int, Any], ...], int]]:
        return (type(self), (self.finished, self.of))
