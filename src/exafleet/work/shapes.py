"""Other shapes a model could have where its dimensions are inferred: each at its bounds, parameters kept.

Where only the size of a model is published, one wrong dimension is made up by others. So a dimension moves to its low
or high, and the number of blocks follows such that the parameters in all stay what they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from exafleet.facts.architecture import Arch, arch, insane
from exafleet.facts.catalogue import Facts
from exafleet.work.counts import parameters

_BLOCKS = ("layers", "attention_layers", "mlp_layers", "moe_layers")


def shapes(facts: Facts, model: str) -> dict[str, Arch]:
    """Shapes by what is other in them ("kv_heads 120, 112 blocks"); {} when nothing of the model is inferred."""
    known = arch(facts, model)
    found: dict[str, Arch] = {}
    for term in (f.name for f in fields(Arch) if f.name not in ("id", "name", *_BLOCKS)):
        for value in _bounds(facts, known.id, term):
            other = _refilled(replace(known, **{term: value}), known)  # type: ignore[arg-type]
            if not insane(other):
                found[f"{term} {value:,}, {other.layers} blocks"] = other
    for value in _bounds(facts, known.id, "layers"):
        found[f"{value} blocks"] = _with_blocks(known, value)
    return found


def _bounds(facts: Facts, model: str, term: str) -> Iterator[int]:
    """Low and high of an inferred dimension, without its own value."""
    fact = facts.try_get(f"{model}.{term}")
    if fact is not None and fact.kind == "inferred":
        yield from (round(v) for v in dict.fromkeys((fact.low, fact.high)) if v != fact.value)


def _refilled(other: Arch, known: Arch) -> Arch:
    """`other` with as many blocks as give the parameters of `known`."""
    wanted, one, two = (float(parameters(a).total) for a in (known, _with_blocks(other, 1), _with_blocks(other, 2)))
    return _with_blocks(other, max(1, round((wanted - one) / (two - one)) + 1))


def _with_blocks(shape: Arch, blocks: int) -> Arch:
    """The shape with another number of blocks; kinds of blocks keep their shares."""
    return replace(shape, **{n: round(getattr(shape, n) * blocks / shape.layers) for n in _BLOCKS})
