"""Measured efficiency of one chip as smooth curves of size, read from facts.

A curve has few parameters, fitted by tools/fit_efficiency.py to operator measurements; chips that nobody measured have
rows of kind `inferred` and a wider `sigma`, and a chip without rows (a user's own) takes those of ANY_CHIP. The forms:

  products    t = launch + (t_c^q + t_m^q)^(1/q),  t_c = 2 (m + m0)(n + n0)(k + k0) / (compute * peak),
              t_m = bytes / (memory * hbm_bw)
  attention   t = launch + flops / (peak * top * s / (s + half)),  s the sequence length; top is of heads 128 wide, a
              head of d gets d / (d + width) over 128 / (128 + width) of it
  moving      t = launch + bytes / (memory * hbm_bw)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.facts.hardware import Chip
from exafleet.terms.errors import MissingFact, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Curve of matrix products in one dtype.

    launch    fixed time of one kernel                                    [s]
    compute   share of dense peak a very large product reaches            [1]
    memory    share of hbm_bw a memory-bound product reaches               [1]
    corner    exponent that rounds the corner of the roofline              [1]
    m0 n0 k0  sizes lost to tiles and ramps in each dimension             [1]
    grouped   grouped (expert) products over plain ones of the same size   [1]
    """

    launch: float
    compute: float
    memory: float
    corner: float
    m0: float
    n0: float
    k0: float
    grouped: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Curve of flash attention: `top` of the bf16 peak at heads 128 wide, half of it at `half` tokens of sequence.

    width   head width at which the softmax of a score costs what its products do    [1]
    """

    launch: float
    top: float
    half: float
    backward: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """Curve of memory-bound kernels: `share` of hbm_bw and a fixed time."""

    launch: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """Every curve of one chip.

    chip      subject the curves are of: the chip itself, or ANY_CHIP where nothing is known of it
    product   by qualifier: "fp8" as serving frameworks run it, "fp8_train" as training does
    sigma     relative (log) error of operator times
    inferred  qualifiers of product nobody measured
    """

    chip: str
    product: Mapping[str, Product]
    attention: Attention
    mla: Attention
    decode: Moving
    moving: Moving
    scan: float
    sigma: float
    inferred: frozenset[str]


ANY_CHIP = "any-chip"
PRODUCT_TERMS = {"launch": "product_launch", "compute": "product_compute", "memory": "product_memory",
                 "corner": "product_corner", "m0": "product_m0", "n0": "product_n0", "k0": "product_k0",
                 "grouped": "product_grouped"}
ATTENTION_TERMS = {"launch": "attention_launch", "top": "attention_top", "half": "attention_half",
                   "backward": "attention_backward", "width": "attention_width"}
MOVING_TERMS = {"launch": "moving_launch", "share": "moving_share"}


def efficiency(facts: Facts, chip: Chip) -> Efficiency:
    """Curves of a chip as of the facts' date; raises MissingFact naming every missing term.

    A chip with no curve at all takes the wide ones of any chip, if it has the bf16 peak that attention runs at.
    """
    unknown = not facts.find(chip.id, PRODUCT_TERMS["compute"]) and "bf16" in chip.peak_flops
    read = _Reader(facts, ANY_CHIP if unknown else chip.id)
    dtypes = read.qualifiers(PRODUCT_TERMS["compute"])
    product = {d: Product(**{f: read(t, d) for f, t in PRODUCT_TERMS.items()})
               for d in dtypes if d.partition("_")[0] in chip.peak_flops}
    attention, mla = (Attention(**{f: read(t, at) for f, t in ATTENTION_TERMS.items()}) for at in ("attention", "mla"))
    decode, moving = (Moving(**{f: read(t, at) for f, t in MOVING_TERMS.items()}) for at in ("decode", "elementwise"))
    scan, sigma = read("scan_compute", ""), read("operator_sigma", "")
    if not dtypes:
        read.missing.append(f"{chip.id}.{PRODUCT_TERMS['compute']}")
    if read.missing:
        raise MissingFact([Problem(what=f"no efficiency of {chip.name} is known as of {facts.as_of.isoformat()}",
                                   got=key, remedy="Give it in a table of your own, with its source and date.")
                           for key in read.missing])
    return Efficiency(chip=read.subject, product=product, attention=attention, mla=mla, decode=decode, moving=moving,
                      scan=scan, sigma=sigma, inferred=read.inferred)


class _Reader:
    """Reads values of one subject, remembering what is missing and whether the products were measured."""

    def __init__(self, facts: Facts, subject: str) -> None:
        self.facts, self.subject = facts, subject
        self.missing: list[str] = []
        self.inferred: frozenset[str] = frozenset()

    def qualifiers(self, term: str) -> list[str]:
        found: Mapping[str, Fact] = self.facts.find(self.subject, term)
        self.inferred = frozenset(at for at, fact in found.items() if fact.kind == "inferred")
        return sorted(found)

    def __call__(self, term: str, at: str) -> float:
        fact = self.facts.find(self.subject, term).get(at)
        if fact is None:
            self.missing.append(f"{self.subject}.{term}" + (f"@{at}" if at else ""))
            return float("nan")
        return fact.value
