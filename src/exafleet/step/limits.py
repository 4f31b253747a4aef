"""Limits a user may put on a layout: a closed range per axis, unlimited where none is given."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Range = tuple[int, int] | None
ZERO_BUBBLE, DUALPIPE = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Closed ranges such as tp=(8, 8) or pp=(1, 16); None leaves an axis free.

    tp cp ep etp  tensor, context, expert and expert-tensor parallel ways
    pp vpp        pipeline stages, and model chunks on each (interleaving)
    dp            data-parallel ways
    mbs           sequences in a micro-batch
    zero          what data-parallel ranks share out: 0 nothing, 1 optimizer, 2 gradients too, 3 parameters too
    recompute     0 none, 1 selective, 2 full
    schedule      of a pipeline: 0 1F1B (interleaved where vpp is above 1), 1 zero-bubble (ZB-H1), 2 DualPipe
    group         ranks among which ZeRO shares out (hybrid sharding); 0 is all data-parallel and context ranks. Free,
                  the search tries all ranks and those of one scale-up domain; a range opens every divisor
    cp_kind       0 a ring of keys and values, 1 an all-to-all of heads
    offload       to host memory: 0 nothing, 1 optimizer states, 2 activations too. Free, the search offloads nothing
    """

    tp: Range = None
    cp: Range = None
    ep: Range = None
    etp: Range = None
    pp: Range = None
    vpp: Range = None
    dp: Range = None
    mbs: Range = None
    zero: Range = None
    recompute: Range = None
    schedule: Range = None
    group: Range = None
    cp_kind: Range = None
    offload: Range = None

    def allows(self, axis: str, values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which values of an axis lie in its range."""
        found = np.asarray(values)
        limit: Range = getattr(self, axis)
        return np.ones(found.shape, dtype=bool) if limit is None else (found >= limit[0]) & (found <= limit[1])

    @property
    def free(self) -> tuple[str, ...]:
        """Axes without a range."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is None)


# Where thousands of searches are made for one plan: ways that win in practice. On Llama 405B, DeepSeek-V3 and
# GPT-MoE-1.8T it finds the layout the full search finds, with a tenth of the candidates (tests/oracles).
PLANNING = Limits(cp=(1, 8), vpp=(1, 8), mbs=(1, 4), zero=(1, 3))
# What every framework runs: 1F1B, ZeRO over all ranks, a ring for context, nothing offloaded.
PLAIN = {"schedule": (0, 0), "group": (0, 0), "cp_kind": (0, 0), "offload": (0, 0)}
