"""How software runs a training step: what overlaps, and what it costs beside the operators.

These are named, dated facts of two kinds of subject: `training-practice` (the same for everybody) and one subject per
software stack (`stack-megatron`, ...). They are fitted by tools/fit_training.py on the `fit` rows of
data/measured_train.csv; a stack's factor is the only thing that differs between frameworks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from exafleet.facts.catalogue import Facts
from exafleet.terms.errors import FactError, MissingFact, Problem

SUBJECT = "training-practice"
# The stack a well-kept installation on this vendor's chips would use; others are named in TrainTask.stack.
DEFAULT_STACK = {"Google": "stack-maxtext", "AMD": "stack-primus", "AWS": "stack-neuron", "Intel": "stack-gaudi"}
TUNED = "stack-megatron"


# What software can be told to do, and what it changes here:
# graphs           the whole step is launched as one graph: the host keeps no block waiting
# partial-graphs   attention, routers or scans of a block are launched as graphs
# token-drop       experts take a fixed number of tokens, so the host need not learn how many there are
# hidden-dispatch  dispatch and combine of experts run beside the compute of another micro-batch
# one-sided        dispatch by one-sided kernels (DeepEP, HybridEP) instead of a library's all-to-all
OPTIONS = ("graphs", "partial-graphs", "token-drop", "hidden-dispatch", "one-sided")


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """Practice as of a date.

    tp_hidden ep_hidden pp_hidden   share of that communication that compute hides                            [1]
    cp_hidden dp_hidden             share of the compute beside it that can hide that communication             [1]
    dp_floor                        share of gradient and parameter traffic that is exposed in any case         [1]
    straggler                       time added per doubling of chips beyond 8                                   [1]
    host_layer                      time the host needs to launch one block's forward and backward             [s]
    host_moe                        the same beside it for one block with experts (routing, waiting for counts)  [s]
    host_tp                         the same beside it for tensor-parallel blocks, as a share of host_layer         [1]
    host_send                       time the host needs to send and receive between stages, per chunk             [s]
    host_step                       fixed time of a step (data, logging, optimizer launch)                     [s]
    imbalance                       busiest over mean expert load                                               [1]
    speed                           speed of matrix products in this stack over the operator curves             [1]
    moe_speed                       the same for grouped (expert) products, on top                               [1]
    expert_half                     width of an expert at which grouped products take twice as long as of a wide one [1]
    one_sided                       1 where dispatch sends a token once to a rank and once into a domain            [1]
    attention                       speed of attention in this stack over its curve                              [1]
    mla                             the same of multi-head latent attention                                      [1]
    moving                          speed of memory-bound kernels in this stack over their curve                 [1]
    scan                            the same of state-space scans                                                [1]
    network                         share of the scale-out bandwidth model that this stack's collectives reach    [1]
    balanced                        1 where blocks are dealt out so that the stage with the head is no slower     [1]
    gradient_bytes                  of one parameter, kept and reduced                                           [B]
    """

    tp_hidden: float
    ep_hidden: float
    pp_hidden: float
    cp_hidden: float
    dp_hidden: float
    dp_floor: float
    straggler: float
    host_layer: float
    host_moe: float
    host_tp: float
    host_send: float
    host_step: float
    imbalance: float
    speed: float
    moe_speed: float
    expert_half: float
    one_sided: float
    attention: float
    mla: float
    moving: float
    scan: float
    network: float
    balanced: float
    gradient_bytes: float


STACK_TERMS = {"speed": "stack_speed", "moe_speed": "stack_moe_speed", "host_layer": "host_layer",
               "attention": "stack_attention", "mla": "stack_mla", "balanced": "balanced_stages",
               "moving": "stack_moving", "scan": "stack_scan", "network": "stack_network"}


def stack_of(stack: str, vendor: str) -> str:
    """The stack asked for, or the tuned one of the vendor."""
    return stack or DEFAULT_STACK.get(vendor, TUNED)


def is_stack(facts: Facts, stack: str) -> bool:
    """Whether an id is that of a software stack: the package's, or one of a user's own table with a speed."""
    named = stack.startswith("stack-") and stack in facts.subjects.by_id
    return named or (stack != SUBJECT and bool(facts.find(stack, STACK_TERMS["speed"])))


def known_stack(facts: Facts, stack: str) -> str:
    """The stack, where there is one of this id; raises FactError with those there are.

    A stack without rows of its own is known all the same: it runs as everybody does, in a wider band.
    """
    if is_stack(facts, stack):
        return stack
    known = [s.id for s in facts.subjects.of_kind("practice") if is_stack(facts, s.id)]
    raise FactError(Problem(what=f'unknown software stack "{stack}"', allowed=", ".join(known),
                            remedy="A stack of your own has a stack_speed in a table of your own."))


def practice(facts: Facts, stack: str, dtype: str, family: str = "", release: str | None = None,
             options: Sequence[str] | None = None) -> Practice:
    """Practice and stack factors as of the facts' date. Raises MissingFact.

    A stack's own fact wins over everybody's; it may be given by dtype and chip family ("fp8/hopper"), by dtype ("fp8")
    or by chip family ("hopper"), the narrowest first. release (None: the newest known) and options (None: what users of
    the stack usually switch on) then change what they are known to change.
    """
    missing: list[str] = []
    values: dict[str, float] = {}
    kin = family.casefold()
    for field in fields(Practice):
        term = STACK_TERMS.get(field.name, field.name)
        found = {**facts.find(SUBJECT, term), **facts.find(stack, term)}
        at = next((at for at in (f"{dtype}/{kin}", dtype, kin, "") if at in found), None)
        if at is None:
            missing.append(f"{SUBJECT}.{term}")
        else:
            values[field.name] = found[at].value
    if missing:
        raise MissingFact(
            [Problem(what=f'no fact "{key}" is known as of {facts.as_of.isoformat()}') for key in missing]
        )
    usual = sorted(facts.find(stack, "usual_option")) if options is None else options
    return told(released(Practice(**values), facts, stack, release), facts, usual)


def released(how: Practice, facts: Facts, stack: str, release: str | None) -> Practice:
    """Practice of one release of a stack: its speeds over those of the stack as a whole.

    release   "YY.MM"; None is the newest known; "" or an unknown one changes nothing
    """
    known = [facts.find(stack, term) for term in ("release_speed", "release_moe_speed")]
    newest = max(known[0], default="")
    wanted = newest if release is None else release
    dense, moe = (found[wanted].value if wanted in found else 1.0 for found in known)
    return replace(how, speed=how.speed * dense, attention=how.attention * dense, mla=how.mla * dense,
                   moe_speed=how.moe_speed * moe)


def told(how: Practice, facts: Facts, options: Sequence[str]) -> Practice:
    """Practice under OPTIONS; raises FactError for an unknown one."""
    unknown = [o for o in options if o not in OPTIONS]
    if unknown:
        raise FactError(Problem(what=f"unknown option of the software: {', '.join(unknown)}",
                                allowed=", ".join(OPTIONS)))
    left, hidden = ({at: fact.value for at, fact in facts.find(SUBJECT, term).items()}
                    for term in ("host_left", "dispatch_hidden"))
    return under(how, options, left, hidden)


def under(how: Practice, options: Sequence[str], left: Mapping[str, float], hidden: Mapping[str, float]) -> Practice:
    """Practice under options, of which it is known what they leave of the host's time and hide of expert traffic."""
    share = min((left[o] for o in options if o in left), default=1.0)
    seen = float(np.prod([1.0 - hidden[o] for o in options if o in hidden]))
    return replace(how, one_sided=1.0 if "one-sided" in options else how.one_sided, host_layer=how.host_layer * share,
                   host_moe=how.host_moe * share, ep_hidden=1.0 - (1.0 - how.ep_hidden) * seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """80 % interval of predictions of one kind: predicted rate times low to high holds the measured one."""

    low: float
    high: float

    def wider(self, sigma: float) -> Band:
        """The band with another independent relative (log) error on top; 1.2816 sigma bounds 80 %."""
        import math

        add = 1.2815515655 * sigma
        down, up = math.hypot(math.log(self.low), add), math.hypot(math.log(self.high), add)
        return Band(low=math.exp(-down), high=math.exp(up))


def band(facts: Facts, stack: str, kind: str) -> Band:
    """80 % band of predictions of `kind` ("dense", "moe", "hybrid") on a stack; raises MissingFact.

    A stack with rows enough has a band of its own; one without rows takes everybody's, widened by how far stacks
    differ. Bands come from residuals of rows left out of the fit.
    """
    own = facts.find(stack, "training_band").get(kind)
    fact = own or facts.get(f"{SUBJECT}.training_band@{kind}")
    around = Band(low=fact.low, high=fact.high)
    if own is None and not facts.find(stack, STACK_TERMS["speed"]):
        return around.wider(facts.value(f"{SUBJECT}.unseen_sigma@stack"))
    return around
