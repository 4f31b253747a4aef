"""How software runs a training step: what overlaps, what it costs beside the operators, how much memory it may use.

These are named, dated facts of two kinds of subject: `training-practice` (the same for everybody) and one subject per
software stack (`stack-megatron`, ...). They are fitted by tools/fit_training.py on the `fit` rows of
data/measured_train.csv; a stack's factor is the only thing that differs between frameworks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from exafleet.facts.catalogue import Facts
from exafleet.terms.errors import MissingFact, Problem

SUBJECT = "training-practice"
# The stack a well-kept installation on this vendor's chips would use; others are named in TrainTask.stack.
DEFAULT_STACK = {"Google": "stack-maxtext", "AMD": "stack-primus", "AWS": "stack-neuron"}
TUNED = "stack-megatron"


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """Practice as of a date.

    tp_hidden ep_hidden pp_hidden   share of that communication that compute hides                            [1]
    cp_hidden dp_hidden             share of the compute beside it that can hide that communication             [1]
    dp_floor                        share of gradient and parameter traffic that is exposed in any case         [1]
    straggler                       time added per doubling of chips beyond 8                                   [1]
    host_layer                      time the host needs to launch one block's forward and backward             [s]
    host_step                       fixed time of a step (data, logging, optimizer launch)                     [s]
    imbalance                       busiest over mean expert load                                               [1]
    usable                          share of memory that a step may fill (the rest: fragmentation)              [1]
    workspace                       memory of the runtime, communication buffers and libraries                  [B]
    speed                           speed of compute in this stack over the operator curves                     [1]
    moe_speed                       the same for MoE models, on top                                             [1]
    gradient_bytes                  of one parameter, kept and reduced                                           [B]
    attention                       the same for attention itself, by chip family where kernels lag a new chip  [1]
    """

    tp_hidden: float
    ep_hidden: float
    pp_hidden: float
    cp_hidden: float
    dp_hidden: float
    dp_floor: float
    straggler: float
    host_layer: float
    host_step: float
    imbalance: float
    usable: float
    workspace: float
    speed: float
    moe_speed: float
    attention: float
    gradient_bytes: float


STACK_TERMS = {"speed": "stack_speed", "moe_speed": "stack_moe_speed", "host_layer": "host_layer",
               "attention": "stack_attention"}


def stack_of(stack: str, vendor: str) -> str:
    """The stack asked for, or the tuned one of the vendor."""
    return stack or DEFAULT_STACK.get(vendor, TUNED)


def practice(facts: Facts, stack: str, dtype: str, family: str = "") -> Practice:
    """Practice and stack factors as of the facts' date. Raises MissingFact.

    A stack's own fact wins over everybody's; it may be given by dtype ("fp8") or by chip family ("hopper").
    """
    missing: list[str] = []
    values: dict[str, float] = {}
    for field in fields(Practice):
        term = STACK_TERMS.get(field.name, field.name)
        found = {**facts.find(SUBJECT, term), **facts.find(stack, term)}
        fact = found.get(dtype) or found.get(family.casefold()) or found.get("")
        if fact is None:
            missing.append(f"{stack if field.name in STACK_TERMS else SUBJECT}.{term}")
        else:
            values[field.name] = fact.value
    if missing:
        raise MissingFact(
            [Problem(what=f'no fact "{key}" is known as of {facts.as_of.isoformat()}') for key in missing]
        )
    return Practice(**values)


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


def band(facts: Facts, kind: str) -> Band:
    """Band of `kind` ("dense" or "moe") from residuals of rows not used in the fit; raises MissingFact."""
    fact = facts.get(f"{SUBJECT}.training_band@{kind}")
    return Band(low=fact.low, high=fact.high)
