"""What a long command is doing, and for how long: one line per phase on stderr, and only when a person is watching."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from exafleet.apps.output import is_terminal

_CLEAR = "\r\x1b[K"


def memory() -> float:
    """Highest memory of this process so far. [B] 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0.0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(used if sys.platform == "darwin" else used * 1024)


@dataclass(slots=True)
class Progress:
    """Writes to stderr when it is a terminal, or when told to; otherwise says nothing."""

    watched: bool
    phase_name: str = ""
    began: float = 0.0

    @classmethod
    def to_stderr(cls) -> Progress:
        """Progress for whoever sits at the terminal."""
        return cls(is_terminal(sys.stderr))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show `name` while the block runs, and its seconds when it is done."""
        self.phase_name, self.began = name, time.monotonic()
        self._say(f"{name} ...")
        try:
            yield
        except BaseException:
            self._say("")
            raise
        self._say(f"{name}: {time.monotonic() - self.began:.1f} s", end="\n")

    def step(self, text: str) -> None:
        """Show how far the phase has come."""
        self._say(f"{self.phase_name}: {text} ({time.monotonic() - self.began:.0f} s)")

    def count(self, done: int, total: int) -> None:
        """Show `done` of `total`."""
        self.step(f"{done} of {total}")

    def solving(self, phase: str, rounds: int, bound: float, value: float) -> None:
        """Show how far a solve has come: its gap so far, CPU time and memory."""
        if not self.watched:
            return
        gap = (value - bound) / abs(value) if value and math.isfinite(value) and math.isfinite(bound) else math.inf
        said = f"gap {gap:.2%}" if gap < 1.0 else "no gap yet"
        self.step(f"{phase}, round {rounds}, {said}, {time.process_time():.0f} CPU-s, {memory() / 2**20:,.0f} MiB")

    def _say(self, text: str, end: str = "") -> None:
        if self.watched:
            sys.stderr.write(f"{_CLEAR}{text}{end}")
            sys.stderr.flush()
