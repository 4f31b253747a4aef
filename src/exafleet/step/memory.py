"""Memory of one chip in training: parameters, gradients, optimizer state, activations, buffers, logits.

The fullest pipeline stage is the first: it holds the embedding and the most micro-batches in flight. The last stage
holds the logits instead; `logits` counts what they add beyond the first stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.step.layouts import Layouts
from exafleet.step.limits import DUALPIPE
from exafleet.work.counts import parameters

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Parameters one chip works with, dense and expert ones apart. [...]  [params]"""

    dense: Floats
    experts: Floats
    largest_block: float

    @property
    def total(self) -> Floats:
        """Both kinds."""
        return self.dense + self.experts


def held(arch: Arch, lay: Layouts, share: Floats) -> Held:
    """Parameters on one chip of the fullest stage, which has `share` of the blocks and one of the embeddings."""
    counted = parameters(arch, mtp=True)
    ends = float(counted["embedding"] + counted["head"])
    blocks = float(counted.total) - ends - float(counted["experts"])
    # A first stage has the embedding, a last one the head: with one stage it is both, else one of them.
    # DualPipe holds a stage from either end, and so both.
    stages = lay.stages_held
    outside = np.where((lay.pp > 1) & (stages == 1), float(counted["embedding"]), ends)
    dense = (blocks * share * stages + outside) / lay.tp
    experts = float(counted["experts"]) * share * stages / (lay.ep * lay.etp)
    return Held(dense=dense, experts=experts, largest_block=blocks / max(arch.layers, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """Bytes a parameter takes: as used, as gradient, in the optimizer (master copy and moments)."""

    weight: float = 2.0
    gradient: float = 4.0
    optimizer: float = 12.0


def states(lay: Layouts, has: Held, each: States) -> tuple[Floats, Floats, Floats]:
    """Bytes of parameters, gradients and optimizer state after the data-parallel ranks share them out. [...]"""

    def shared(nbytes: float, level: int) -> Floats:
        whole, split = has.total, has.dense / lay.shared + has.experts / lay.shared_experts
        return np.asarray(nbytes * np.where(lay.zero >= level, split, whole))

    # Gathered parameters of the block at work and the next one.
    working = np.where(lay.zero == 3, 2.0 * each.weight * (has.largest_block / lay.tp), 0.0)
    return shared(each.weight, 3) + working, shared(each.gradient, 2), shared(each.optimizer, 1)


def in_flight(lay: Layouts, micro_batches: npt.ArrayLike) -> Floats:
    """Micro-batches whose activations the first stage holds at once. [...]"""
    pipe = lay.pp * np.where(lay.vpp > 1, 1.0 + (lay.pp - 1) / (lay.pp * lay.vpp), 1.0)
    pipe = pipe + np.where(lay.schedule == DUALPIPE, 1, 0)
    return np.asarray(np.minimum(pipe, np.asarray(micro_batches)))
