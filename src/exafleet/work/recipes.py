"""How software multiplies in few bits, and what its memory-bound kernels move: inputs of the operators of a step.

A recipe says what a tensor costs to bring into its number format; kernels say how many bytes an element costs in norms,
activations and the like, by what a software stack fuses. Both are counts of reads and writes, not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

from exafleet.terms.errors import FactError, Problem
from exafleet.work.counts import ELEMENT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to scale a low-precision format.

    dtype    number format of the products
    extra    reads of the whole bf16 tensor before it can be written: its largest value                [passes]
    scale    bytes of block scales beside one element                                                 [B]
    fusable  the norm or activation that makes a tensor can write the copies itself (no scale to wait for)
    wgrad    number format of weight gradients; "" is that of the other products
    curve    qualifier of the efficiency of its products in training
    """

    dtype: str
    extra: float
    scale: float
    fusable: bool
    curve: str
    wgrad: str = ""


# ds: delayed scaling, the scale comes from earlier steps. cs: current scaling, the tensor is read once for its largest
# value. block: 1 x 128 activations, 128 x 128 weights, fp32 scales. mx: 1 x 32 with one-byte scales. nv: NVFP4 with a
# second scale of the whole tensor, 2-D scaled weights and a Hadamard transform on the way (its scales of 16 elements
# are in ELEMENT_BYTES). int8 products scale rows; MaxText leaves weight
# gradients in bf16 (AQT: drhs_bits=None).
RECIPES = {
    ("fp8", "ds"): Recipe(dtype="fp8", extra=0.0, scale=0.0, fusable=True, curve="fp8_train"),
    ("fp8", "cs"): Recipe(dtype="fp8", extra=1.0, scale=0.0, fusable=False, curve="fp8_train"),
    ("fp8", "block"): Recipe(dtype="fp8", extra=0.0, scale=4.0 / 128.0, fusable=False, curve="fp8_block_train"),
    ("fp8", "mx"): Recipe(dtype="fp8", extra=0.0, scale=1.0 / 32.0, fusable=True, curve="fp8_train"),
    ("fp4", "nv"): Recipe(dtype="fp4", extra=1.0, scale=0.0, fusable=False, curve="fp4_train"),
    ("int8", "cs"): Recipe(dtype="int8", extra=0.0, scale=0.0, fusable=False, curve="int8", wgrad="bf16"),
}
# Chip families whose products take the scales of blocks of 32.
SCALED_IN_HARDWARE = ("Blackwell", "Rubin", "CDNA4", "CDNA5")
# Formats with an input and a weight as wide as bf16 have nothing to scale.
WIDE = ("bf16", "fp16", "fp32", "tf32")


def recipe(dtype: str, family: str = "", name: str = "") -> Recipe | None:
    """The recipe called `name`, or what the chip family's software does by default; None for bf16.

    Blackwell and later multiply blocks of 32 in hardware, so fp8 there is "mx"; elsewhere it is "cs".
    """
    if dtype in WIDE:
        return None
    known = [at for (d, at) in RECIPES if d == dtype]
    usual = "mx" if family.startswith(SCALED_IN_HARDWARE) else "cs"
    chosen = name or ("nv" if dtype == "fp4" else usual if dtype == "fp8" else "cs")
    if chosen not in known:
        raise FactError(Problem(what=f'no recipe "{chosen}" of {dtype}', got=chosen,
                                allowed=", ".join(known) or "none: this format is not trained in",
                                remedy="Leave the recipe out for the usual one of the chip."))
    return RECIPES[dtype, chosen]


def known_recipe(dtype: str, family: str, name: str) -> None:
    """Raises FactError where a recipe asked for by name ("" asks for none) is none of this format and chip family."""
    if name and dtype in WIDE:
        raise FactError(Problem(what=f"{dtype} has nothing to scale", got=name, remedy="Leave the recipe out."))
    recipe(dtype, family, name)
    if name == "mx" and not family.startswith(SCALED_IN_HARDWARE):
        raise FactError(Problem(what=f"{family} chips do not multiply blocks of 32 in hardware", got=name,
                                allowed=", ".join(at for (d, at) in RECIPES if d == dtype and at != "mx")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """Bytes one element costs in memory-bound kernels, (forward, backward).   [B/element]

    norm      norm of the hidden state with the residual sum before it
    gated     activation of a gated MLP, of an element of the inner width: gate and up read, product written
    plain     activation without a gate
    rotary    rotary embedding of queries and keys
    permute   bringing routed copies of tokens to their experts and back, of an element of a routed copy
    loss      softmax, loss and its gradient in fp32, of an element of the logits
    quantise  norms and activations write low-precision copies themselves where the recipe allows it
    """

    norm: tuple[float, float] = (8.0, 12.0)
    gated: tuple[float, float] = (6.0, 10.0)
    plain: tuple[float, float] = (4.0, 6.0)
    rotary: tuple[float, float] = (4.0, 4.0)
    permute: tuple[float, float] = (8.0, 10.0)
    loss: tuple[float, float] = (8.0, 12.0)
    quantise: bool = True


# FUSED: one kernel for each line above, as in Transformer Engine, compiled PyTorch or XLA. EAGER: a kernel for every
# arithmetic operator (native layer norm, residual sum, activation and product apart, fp32 copies of the logits).
FUSED = Kernels()
EAGER = Kernels(norm=(10.0, 16.0), gated=(10.0, 18.0), plain=(4.0, 6.0), rotary=(22.0, 22.0), permute=(16.0, 16.0),
                loss=(30.0, 14.0), quantise=False)


def cast_bytes(how: Recipe | None, dtype: str, *, inside: bool = False) -> float:
    """Bytes to bring one bf16 element into both orientations of a number format. [B]

    inside   the kernel that makes the tensor writes the copies in place of its bf16 output
    None is the plain cast of serving engines: bf16 read once, two copies written.
    """
    width, bf16 = ELEMENT_BYTES[dtype], ELEMENT_BYTES["bf16"]
    if how is None:
        return bf16 + 2.0 * width if width < bf16 else 0.0
    copies = 2.0 * (width + how.scale)
    return max(copies - bf16, 0.0) if inside and how.fusable else bf16 * (1.0 + how.extra) + copies
