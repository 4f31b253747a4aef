"""Moving a prompt's cache from the pool that filled it to the pool that decodes from it.

Inside one scale-up domain the chips' links carry it, else their network cards do. Stages and heads move side by side,
and a layer is sent as soon as it is computed, so that only the end of the transfer is waited for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exafleet.ops.collective import p2p
from exafleet.step.serve import Machine, ServeTask
from exafleet.step.serve_layouts import ServeLayouts
from exafleet.work.counts import kv_bytes

Floats = npt.NDArray[np.float64]


def ways(task: ServeTask, layouts: ServeLayouts) -> Floats:
    """Parts in which the chips of a group can send or take a cache side by side. [C]

    Stages and heads are apart. A latent cache (MLA) is whole on every chip of a group: whoever sends what, each chip
    of the receiving group takes all of it, so that tensor ways add nothing.
    """
    heads = 1.0 if task.arch.kv_lora else float(max(task.arch.kv_heads, 1))
    return np.asarray(np.minimum(layouts.tp, heads) * layouts.pp)


def transfer_time(task: ServeTask, prefill_on: Machine, decode_on: Machine, prefill: ServeLayouts,
                  decode: ServeLayouts, together: npt.ArrayLike) -> Floats:
    """Time in which a prompt's cache goes from a group to a group, nothing hidden; inf without a way. [C]  [s]

    prefill_on, decode_on   systems of the two sides
    prefill, decode         their layouts                                                              [C]
    together                both pools lie in one scale-up domain                                      [C]
    """
    # As many side by side as the coarser side has.
    lanes = np.minimum(ways(task, prefill), ways(task, decode))
    message = kv_bytes(task.arch, task.input_tokens, task.kv_dtype) / lanes
    far = float(prefill_on.net.domain + decode_on.net.domain)
    network = np.maximum(p2p(message, far, prefill_on.net), p2p(message, far, decode_on.net))
    return np.asarray(np.where(together, p2p(message, 1.0, prefill_on.net), network))


def exposed_transfer(moved: npt.ArrayLike, computed: npt.ArrayLike, layers: float) -> Floats:
    """What is seen of a transfer that sends each layer as soon as it is computed. [C]  [s]

    moved     transfer of all layers                            [C]  [s]
    computed  prefill of all layers                             [C]  [s]
    layers    of the model                                      [1]

    The last layer's transfer, or what the prefill of the others does not cover.

    >>> float(exposed_transfer(1.0, 10.0, 10.0)), float(exposed_transfer(10.0, 1.0, 10.0))
    (0.1, 9.1)
    """
    moved, computed = np.asarray(moved, dtype=np.float64), np.asarray(computed, dtype=np.float64)
    return np.asarray(np.maximum(moved / layers, moved - computed * (1.0 - 1.0 / layers)))
