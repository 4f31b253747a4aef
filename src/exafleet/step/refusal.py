"""Why the ranges asked for leave no layout: each axis on its own first, in words with the numbers that rule it."""

from __future__ import annotations

from dataclasses import fields

from exafleet.facts.architecture import Arch
from exafleet.facts.hardware import System
from exafleet.ops.collective import reach
from exafleet.step.layouts import MOST_MICRO_BATCH, MOST_STAGES, rows
from exafleet.step.limits import Limits


def refusals(arch: Arch, system: System, seq: int, batch: int, chips: int, limits: Limits) -> tuple[str, ...]:
    """One sentence for every axis whose range alone has no layout on `chips` chips; else for their combination.

    Empty where the ranges do leave layouts.
    """
    def leaves(some: Limits) -> bool:
        return rows(arch, system, seq, batch, chips, some).count > 0

    if leaves(limits):
        return ()
    if not leaves(Limits()):
        return (f"{chips:,} accelerators and a batch of {batch:,}: {_RULES['dp']}, and this model leaves no such ways",)
    asked = {f.name: limit for f in fields(limits) if (limit := getattr(limits, f.name)) is not None}
    rules = {name: rule.format(**_numbers(arch, system, seq, batch, chips)) for name, rule in _RULES.items()}
    alone = [f"{_span(name, *limit)}: {rules[name]}" for name, limit in asked.items()
             if not leaves(Limits(**{name: limit}))]
    together = ", ".join(_span(name, *limit) for name, limit in asked.items())
    clash = (f"{together}: each leaves layouts, together none; tp x cp x pp x dp is the number of accelerators "
             f"({chips:,}), and dp x mbs divides the batch ({batch:,})"
             + "".join(f"; --{name.replace('_', '-')}: {rules[name]}" for name in asked if name in _COUPLED))
    return tuple(alone) or (clash,)


_RULES = {
    "tp": "ways divide {heads} heads and {hidden} channels, suit {kv_heads} key-value heads, and stay within the "
          "{domain} accelerators of a scale-up domain",
    "cp": "ways are powers of two up to 64 that cut a sequence of {seq} in pairs of equal pieces",
    "ep": "ways divide {experts} experts",
    "etp": "an expert is whole or split over all tensor-parallel ways, and there are {experts} experts",
    "pp": "stages divide {chips} accelerators and are at most {stages}",
    "vpp": "chunks need more than one stage, stages times chunks at most the {layers} blocks and two, and a "
           "micro-batch for every stage",
    "dp": "data-parallel ways divide both the accelerators and the batch",
    "mbs": "a micro-batch divides a batch of {batch} and is at most {most}",
    "zero": "levels are 0 to 3",
    "recompute": "modes are 0 to 2",
    "schedule": "zero-bubble and DualPipe need more than one stage and a micro-batch for each; DualPipe two, and even "
                "numbers of both",
    "group": "groups divide the data-parallel times the context-parallel ways",
    "cp_kind": "an all-to-all needs more than one context rank, and tensor times context ways that divide {heads} "
               "heads",
    "offload": "choices are 0 to 2",
}


# Axes whose rule speaks of another axis.
_COUPLED = ("etp", "vpp", "schedule", "group", "cp_kind")


def _numbers(arch: Arch, system: System, seq: int, batch: int, chips: int) -> dict[str, str]:
    known = {"heads": arch.heads or arch.ssm_heads, "hidden": arch.hidden, "kv_heads": arch.kv_heads,
             "domain": reach(system), "seq": seq, "experts": arch.experts if arch.moe_layers else 0, "chips": chips,
             "stages": min(arch.layers, MOST_STAGES), "layers": arch.layers, "batch": batch, "most": MOST_MICRO_BATCH}
    return {name: f"{value:,}" for name, value in known.items()}


def _span(name: str, low: int, high: int) -> str:
    """A range as it was asked for: "--tp 3", "--pp 1..4"."""
    return f"--{name.replace('_', '-')} {low}" + (f"..{high}" if high > low else "")
