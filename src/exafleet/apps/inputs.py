"""Facts, models and systems as the words of a command name them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exafleet.facts.architecture import Arch
    from exafleet.facts.catalogue import Facts


def day(words: str | None) -> date | None:
    """The last day "2024-12-19", "2024-12", "2024-Q4" or "2024" can mean; raises FactError."""
    from exafleet.terms.calendar import published

    return None if words is None else published(words)


def facts_as_of(words: str | None, own: Sequence[Path] | None = None) -> Facts:
    """The package's facts and `own` tables as of a day, or as of the newest fact when no day is named."""
    from dataclasses import replace

    from exafleet.facts.catalogue import load_facts

    asked = day(words)
    if asked is not None:
        return load_facts(asked, tuple(own or ()))
    known = load_facts(date.max, tuple(own or ()))
    return replace(known, as_of=max((f.as_of for f in known), default=date.min), whole=True)


def arch_of(facts: Facts, words: str) -> Arch:
    """A model by the path of its config.json, or by its name; raises FactError."""
    if words.endswith(".json") or ("/" in words and Path(words).exists()):
        from exafleet.facts.huggingface import arch_from_config

        path = Path(words)
        return arch_from_config(path / "config.json" if path.is_dir() else path)
    from exafleet.facts.architecture import arch

    return arch(facts, words)
