"""What data-parallel ranks do once a step or once a micro-batch: gradients, parameters, optimizer, offload.

ZeRO states are shared out among `shared` ranks (all replicas, or the group of hybrid sharding); between groups the
gradients of a rank's share are reduced once more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exafleet.ops import collective
from exafleet.ops.collective import Fabric
from exafleet.step.layouts import Layouts
from exafleet.step.memory import Held, States
from exafleet.step.pipeline import Stage, Turn
from exafleet.step.practice import Practice

Floats = npt.NDArray[np.float64]


def traffic(lay: Layouts, pipe: Stage, has: Held, each: States, net: Fabric, *, moe: bool) -> tuple[Floats, Floats]:
    """Time to gather all parameters of a stage once, and to reduce all its gradients once; a message per block. [s]"""
    blocks = pipe.blocks
    kinds: list[tuple[Floats, Floats, Floats, npt.NDArray[np.int64]]] = [
        (has.dense / blocks, lay.shared, lay.replicas, lay.tp)
    ]
    if moe:
        kinds.append((has.experts / blocks, lay.shared_experts, lay.replicas_experts, lay.ep * lay.etp))
    gather = [collective.all_gather(each.weight * held, shared, stride, net) for held, shared, _, stride in kinds]
    scatter = [_reduced(each.gradient * held, shared, over, stride, net) for held, shared, over, stride in kinds]
    return np.asarray(sum(gather) * blocks), np.asarray(sum(scatter) * blocks)


def _reduced(nbytes: Floats, shared: Floats, over: Floats, stride: npt.NDArray[np.int64], net: Fabric) -> Floats:
    """Reduce-scatter in the group, then all-reduce of each rank's share between groups."""
    inside = collective.reduce_scatter(nbytes, shared, stride, net)
    groups = over / shared
    if (groups <= 1).all():
        return inside
    return inside + collective.all_reduce(nbytes / shared, groups, stride * shared, net)


def data_parallel(lay: Layouts, pipe: Stage, gather: Floats, scatter: Floats, one: Turn,
                  how: Practice) -> tuple[Floats, Floats]:
    """All and exposed time of parameter gathering and gradient reduction in a step. [s]

    Up to ZeRO-2 it happens once a step, whatever gradients accumulate, beside the last backward and the first forward
    pass. With ZeRO-3 every micro-batch gathers twice and reduces once, each block beside its neighbour: a gather hides
    behind the forward pass of a block, the other gather and the reduction behind its backward pass.
    """
    full = lay.zero == 3
    once = scatter + gather
    seen = np.maximum(once - how.dp_hidden * one.total, how.dp_floor * once)
    if not full.any():
        return once, seen
    ahead = np.maximum(gather - how.dp_hidden * one.forward, 0.0)
    back = np.maximum(once - how.dp_hidden * (one.total - one.forward), 0.0)
    both = scatter + 2.0 * gather
    every = np.maximum(ahead + back, how.dp_floor * both) * pipe.micro_batches
    return np.where(full, both * pipe.micro_batches, once), np.where(full, every, seen)


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
