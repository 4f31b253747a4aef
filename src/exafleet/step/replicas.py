"""What data-parallel ranks do once a step or once a micro-batch: gradients, parameters, optimizer, offload.

ZeRO states are shared out among `shared` ranks (all replicas, or the group of hybrid sharding); between groups the
gradients of a rank's share are reduced once more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.ops import collective
from exafleet.ops.collective import Fabric
from exafleet.step.layouts import Layouts
from exafleet.step.memory import Held, States
from exafleet.step.pipeline import Stage, Turn
from exafleet.step.practice import Practice

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Time of parameters and gradients of a stage, all blocks once; a message per block. [...]  [s]

    gather   parameters, among the ranks that share them out
    scatter  gradients, the same
    between  what a rank then keeps of them, among groups of hybrid sharding
    """

    gather: Floats
    scatter: Floats
    between: Floats


def traffic(lay: Layouts, pipe: Stage, has: Held, each: States, net: Fabric, *, moe: bool) -> Traffic:
    """Collectives of dense and of expert parameters one after the other."""
    found = [_traffic(has.dense / pipe.blocks, lay.shared, lay.replicas, lay.tp, each, net)]
    if moe:
        found.append(_traffic(has.experts / pipe.blocks, lay.shared_experts, lay.replicas_experts, lay.ep * lay.etp,
                              each, net))
    parts = zip(*found, strict=True)
    gather, scatter, between = (np.asarray(sum(part) * pipe.blocks) for part in parts)
    return Traffic(gather=gather, scatter=scatter, between=between)


def _traffic(held: Floats, shared: Floats, over: Floats, stride: npt.NDArray[np.int64], each: States,
             net: Fabric) -> tuple[Floats, Floats, Floats]:
    """Gather, scatter and all-reduce between groups of the parameters of a block."""
    groups = over / shared
    between = np.zeros(()) if (groups <= 1).all() else collective.all_reduce(
        each.gradient * held / shared, groups, stride * shared, net)
    return (collective.all_gather(each.weight * held, shared, stride, net),
            collective.reduce_scatter(each.gradient * held, shared, stride, net), between)


def data_parallel(lay: Layouts, pipe: Stage, moved: Traffic, one: Turn, how: Practice) -> tuple[Floats, Floats]:
    """All and exposed time of parameter gathering and gradient reduction in a step. [s]

    Up to ZeRO-2 it happens once a step, whatever gradients accumulate, beside the last backward and the first forward
    pass; chunks of interleaved stages end one after the other over the last micro-batches of a round, so that all but
    one of them hide their traffic beside those. With ZeRO-3 every micro-batch gathers twice and reduces once, each
    block beside its neighbour: a gather hides behind the forward pass of a block, the other gather and the reduction
    behind its backward pass. Between groups gradients are reduced beside the last backward pass alone.
    """
    full = lay.zero == 3
    once = moved.scatter + moved.gather + moved.between
    rounds = np.minimum(lay.pp, pipe.micro_batches) * (lay.vpp - 1) / lay.vpp
    seen = np.maximum(once - how.dp_hidden * one.total * np.maximum(rounds, 1.0), how.dp_floor * once)
    if not full.any():
        return once, seen
    ahead = np.maximum(moved.gather - how.dp_hidden * one.forward, 0.0)
    room = how.dp_hidden * (one.total - one.forward)
    inside = moved.scatter + moved.gather
    every = (ahead + np.maximum(inside - room, 0.0)) * (pipe.micro_batches - 1.0) \
        + ahead + np.maximum(once - room, 0.0)
    both = (inside + moved.gather) * pipe.micro_batches + moved.between
    return np.where(full, both, once), np.where(full, np.maximum(every, how.dp_floor * both), seen)


def own(lay: Layouts, has: Held) -> Floats:
    """Parameters whose optimizer states a rank keeps. [...]  [params]"""
    return np.asarray(np.where(lay.zero >= 1, has.dense / lay.shared + has.experts / lay.shared_experts, has.total))


def offloaded(lay: Layouts, states: Floats, kept: Floats, one: Turn, pipe: Stage,
              host_bw: float) -> tuple[Floats, Floats]:
    """All and exposed time of moving what is kept in host memory, in a step; the link works both ways at once. [s]

    states   optimizer states a rank owns: in and out once a step. Clipping by the norm of the whole gradient makes
             them wait for the last backward pass; they go on beside the next forward pass                      [B]
    kept     activations of one micro-batch: out beside its forward pass, in beside its backward pass             [B]
    """
    if not lay.offload.any():
        none = np.zeros(lay.offload.shape)
        return none, none
    update = states / host_bw
    away = kept / host_bw
    waits = np.maximum(away - one.forward, 0.0) + np.maximum(away - (one.total - one.forward), 0.0)
    update_seen, waits = np.maximum(update - one.forward, 0.0), waits * pipe.micro_batches
    whole = update + np.where(lay.offload == 2, 2.0 * away * pipe.micro_batches, 0.0)
    seen = update_seen + np.where(lay.offload == 2, waits, 0.0)
    return np.where(lay.offload > 0, whole, 0.0), np.where(lay.offload > 0, seen, 0.0)
