"""One micro-batch on the slowest stage of a pipeline, and what filling and draining the pipeline costs by schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.ops import collective
from exafleet.ops.collective import Fabric
from exafleet.ops.roofline import rounded_max
from exafleet.step.layouts import Layouts
from exafleet.step.limits import DUALPIPE, ZERO_BUBBLE
from exafleet.step.practice import Practice

Floats = npt.NDArray[np.float64]
# Launches of one block with full recomputation over those without: forward runs twice beside the backward pass.
RECOMPUTE_LAUNCHES = 4.0 / 3.0
# How sharply the slower of device and host sets the pace: launches run ahead over a few blocks only.
HOST_CORNER = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The slowest stage of a pipeline, and its last, which has the head.

    blocks         blocks of the slowest stage          [...]
    share          its part of all blocks               [...]
    last           blocks of the last stage             [...]
    micro_batches  of one data-parallel rank in a step  [...]
    """

    blocks: Floats
    share: Floats
    last: Floats
    micro_batches: Floats


def stage(arch: Arch, batch: int | npt.NDArray[np.int64], lay: Layouts) -> Stage:
    """Blocks are dealt out in pp * vpp chunks of equal size; places left over hold the embedding and the head."""
    places = lay.pp * lay.vpp
    blocks = -(-arch.layers // places) * lay.vpp
    spare = lay.pp * blocks - arch.layers
    micro = batch / (lay.dp * lay.mbs)
    return Stage(blocks=blocks.astype(np.float64), share=blocks / arch.layers,
                 last=(blocks + spare // -2).astype(np.float64), micro_batches=np.asarray(micro))


def levelled(arch: Arch, lay: Layouts, pipe: Stage, tab: Mapping[str, Floats]) -> Stage:
    """Stages as software deals blocks that counts the head as what it costs: the last stage gets fewer, or none."""
    head = arch.layers * tab["head"] / np.maximum(tab["total"], 1e-30)
    others = np.maximum(lay.pp - 1, 1)
    fewer = np.maximum(np.floor((arch.layers + head) / lay.pp - head), 0.0)
    best = np.minimum(np.maximum(np.ceil((arch.layers - fewer) / others), fewer + head),
                      np.maximum(np.ceil((arch.layers - fewer - 1) / others), fewer + 1 + head))
    last = np.where(np.maximum(np.ceil((arch.layers - fewer) / others), fewer + head) <= best, fewer, fewer + 1)
    blocks = np.ceil((arch.layers - last) / others)
    piped = (lay.pp > 1) & (lay.vpp == 1)
    blocks, last = np.where(piped, blocks, pipe.blocks), np.where(piped, last, pipe.last)
    return Stage(blocks=blocks, share=blocks / arch.layers, last=last, micro_batches=pipe.micro_batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One micro-batch forward and backward on the slowest stage. [...]  [s]

    compute head again   blocks; embedding, projection and loss; recomputation
    tp cp ep send        exposed communication
    host                 waiting for the host, where launching the blocks takes longer than running them
    hidden               what compute hides of each
    forward wgrad        of `total`, the forward pass and the weight gradients
    """

    compute: Floats
    head: Floats
    again: Floats
    tp: Floats
    cp: Floats
    ep: Floats
    send: Floats
    host: Floats
    hidden: Mapping[str, Floats]
    forward: Floats
    wgrad: Floats
    total: Floats


def turn(arch: Arch, how: Practice, net: Fabric, lay: Layouts, tab: Mapping[str, Floats], pipe: Stage) -> Turn:
    """The micro-batch of each candidate from the tables of its shard. Broadcasts."""
    share, mode = pipe.share, lay.recompute
    compute, head = tab["total"] * share, _head(arch, lay, tab, pipe)
    again = _choose(mode, tab["again0"], tab["again1"], tab["again2"]) * share
    tp = (tab["tp"] + np.where(mode == 2, tab["tp_again"], 0.0)) * share
    ep = (tab["ep"] + np.where(mode == 2, tab["ep_again"], 0.0)) * share
    send = _send(lay, tab, net)
    busy = compute + head + again
    ep_seen, send_seen = _exposed(how, lay, ep, send, busy)
    tp_seen, cp_seen = (1.0 - how.tp_hidden) * tp, tab["cp"] * share
    hidden = {"tp": tp - tp_seen, "cp": (tab["cp_all"] - tab["cp"]) * share, "ep": ep - ep_seen,
              "pp p2p": send - send_seen}
    forward = (tab["forward"] + (1.0 - how.tp_hidden) * tab["tp_again"]) * share
    device = busy + tp_seen + ep_seen + cp_seen + send_seen
    block = how.host_layer * np.where(lay.tp > 1, 1.0 + how.host_tp, 1.0) + how.host_moe * arch.moe_layers / arch.layers
    launching = block * pipe.blocks * np.where(mode == 2, RECOMPUTE_LAUNCHES, 1.0)
    launching = launching + np.where(lay.pp > 1, how.host_send * lay.vpp, 0.0)
    total = rounded_max(device, launching, HOST_CORNER)
    return Turn(compute=compute, head=head, again=again, tp=tp_seen, cp=cp_seen, ep=ep_seen, send=send_seen,
                host=total - device, hidden=hidden, forward=forward, wgrad=tab["wgrad"] * share, total=total)


def _head(arch: Arch, lay: Layouts, tab: Mapping[str, Floats], pipe: Stage) -> Floats:
    """Time of the head that the slowest stage shows: a last stage with fewer blocks has that much more time."""
    slack = (pipe.blocks - pipe.last) * tab["total"] / arch.layers
    return np.where(lay.pp > 1, np.maximum(tab["head"] - slack, 0.0), tab["head"])


def _send(lay: Layouts, tab: Mapping[str, Floats], net: Fabric) -> Floats:
    """Activations forward and gradients backward over every boundary; a pipeline is paced by the hops that leave."""
    each = collective.p2p(tab["message"], lay.chips - 1, net)
    return np.where(lay.pp > 1, 2.0 * lay.vpp * each, 0.0)


def _exposed(how: Practice, lay: Layouts, ep: Floats, send: Floats, busy: Floats) -> tuple[Floats, Floats]:
    """Exposed expert and pipeline traffic. DualPipe hides both behind the compute of the paired chunk, while it lasts.

    Only interleaved stages have other work while they send.
    """
    ep_seen = (1.0 - how.ep_hidden) * ep
    send_seen = send * np.where(lay.vpp > 1, 1.0 - how.pp_hidden, 1.0)
    if not (lay.schedule == DUALPIPE).any():
        return ep_seen, send_seen
    both = ep + send
    left = np.divide(np.maximum(both - busy, 0.0), both, out=np.zeros(np.broadcast_shapes(both.shape, busy.shape)),
                     where=both > 0.0)
    paired = lay.schedule == DUALPIPE
    return np.where(paired, np.minimum(ep * left, ep_seen), ep_seen), np.where(paired, send * left, send_seen)


def bubble(lay: Layouts, one: Turn) -> Floats:
    """Time a stage waits while the pipeline fills and drains. [...]  [s]

    With F, B and W the forward pass, the gradient of activations and that of weights of one micro-batch, 1F1B waits
    (pp - 1) (F + B + W) / vpp. ZB-H1 of arXiv:2401.10241 fills its gaps with weight gradients in the memory of 1F1B and
    waits (pp - 1) (F + B - W). DualPipe, table 2 of arXiv:2412.19437, waits (pp / 2 - 1) (F&B + B + W - 3 W), where F&B
    are a forward and a backward pass that run at the same time.
    """
    plain = (lay.pp - 1) / lay.vpp * one.total
    if not lay.schedule.any():
        return np.asarray(plain)
    filled = (lay.pp - 1) * np.maximum(one.total - 2.0 * one.wgrad, 0.0)
    backward = np.maximum(one.total - one.forward, 0.0)
    paired = np.maximum(lay.pp / 2 - 1, 0) * np.maximum(one.total + backward - 3.0 * one.wgrad, 0.0)
    return np.where(lay.schedule == 0, plain, np.where(lay.schedule == ZERO_BUBBLE, filled, paired))


def _choose(mode: npt.NDArray[np.int64], none: Floats, selective: Floats, full: Floats) -> Floats:
    return np.where(mode == 0, none, np.where(mode == 1, selective, full))
