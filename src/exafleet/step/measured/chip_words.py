"""Accelerators as tables of serving results write them: one place that turns their words into a chip and a system.

MLPerf writes "NVIDIA B200-SXM-180GB", "AMD Instinct MI325X 256GB HBM3e", "Virtualized NVIDIA H200-SXM-141GB". What
names one chip of the tables is read; everything else says what it lacks.
"""

from __future__ import annotations

import re

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System, system, system_gaps, systems_of
from exafleet.facts.subjects import Subject, fold
from exafleet.step.measured import run_words as words
from exafleet.step.measured.cells import NotUsable

# Chips of the largest server; a larger scale-up domain is a rack.
SERVER = 8
# A family's mark, and the chip it is unless one of the later marks occurs too: the narrower name wins.
CHIPS = (
    (r"\bGB300", "gb300-gpu", ()),
    (r"\bGB200", "gb200-gpu", ()),
    (r"\bGH200", "gh200-96gb", ((r"\b14[14] ?GB", "gh200-141gb"),)),
    (r"\bGB10\b", "gb10", ()),
    (r"\bB300", "b300-sxm", ()),
    (r"\bB200", "b200-sxm", ()),
    (r"\bH200", "h200-sxm", ((r"NVL", "h200-nvl"),)),
    (r"\bH100", "h100-sxm", ((r"NVL", "h100-nvl"), (r"PCI", "h100-pcie"))),
    (r"\bH800", "h800-sxm", ()),
    (r"\bH20\b", "h20", ()),
    (r"\bA100", "a100-80gb-sxm", ((r"PCI", "a100-80gb-pcie"), (r"40 ?GB", "a100-40gb-sxm"))),
    (r"\bL40S", "l40s", ()),
    (r"\bL4\b", "l4", ()),
    (r"RTX PRO 6000", "rtx-pro-6000", ()),
    (r"RTX 5090", "rtx-5090", ()),
    (r"RTX 4090", "rtx-4090", ()),
    (r"RUBIN CPX", "rubin-cpx", ()),
    (r"RUBIN ULTRA", "rubin-ultra", ()),
    (r"VERA ?RUBIN|\bVR200|\bRUBIN\b", "rubin", ()),
    (r"MI250X", "mi250x", ()), (r"MI300X", "mi300x", ()), (r"MI325X", "mi325x", ()), (r"MI350X", "mi350x", ()),
    (r"MI355X", "mi355x", ()), (r"MI455X", "mi455x", ()),
    (r"GAUDI ?2", "gaudi2", ()), (r"GAUDI ?3", "gaudi3", ()),
    (r"TPU ?V?7X?|IRONWOOD", "tpu7x", ()), (r"TPU ?V6E|TRILLIUM", "tpu-v6e", ()), (r"TPU ?V5P", "tpu-v5p", ()),
    (r"TPU ?V5E", "tpu-v5e", ()), (r"TPU ?V4", "tpu-v4", ()),
    (r"TRAINIUM ?3|\bTRN3", "trainium3", ()), (r"TRAINIUM ?2|\bTRN2", "trainium2", ()),
)


def spoken_chip(facts: Facts, text: str) -> Subject:
    """The chip a source means; raises NotUsable for none, for several in one system, and for one without figures.

    A name of the tables counts as it stands; else the marks of CHIPS decide.
    """
    if not text.strip():
        raise NotUsable("no accelerator is stated")
    plain = [s for s in facts.subjects.by_name.get(fold(text), ()) if s.kind == "chip"]
    if len(plain) == 1:
        return plain[0]
    upper = re.sub(r"[-_/]+", " ", text).upper()
    found = [_narrowed(upper, chip, later) for mark, chip, later in CHIPS if re.search(mark, upper)]
    if len(set(found)) > 1:
        raise NotUsable(f'"{text}" holds several kinds of accelerators')
    if not found:
        return words.subject(facts, text, "chip")
    if found[0] not in facts.subjects.by_id:
        raise NotUsable(f'nothing is known of the chip in "{text}"')
    return facts.subjects.by_id[found[0]]


def _narrowed(upper: str, chip: str, later: tuple[tuple[str, str], ...]) -> str:
    return next((other for mark, other in later if re.search(mark, upper)), chip)


def holder(facts: Facts, chip: Subject, chips: int, text: str) -> str:
    """A system of a chip for a run of so many: its rack where there is one, since parts of racks are what is measured;
    else the smallest server that holds them all, else the largest.

    text   as the source wrote it: "NVL4" picks the board of four
    """
    ready = [system(facts, s) for s in systems_of(facts, chip.id) if not system_gaps(facts, s)]
    if not ready:
        raise NotUsable(f"no system that holds {chip.name} is known")
    rack = re.search(r"NVL ?(\d+)", text.upper())
    named = [s for s in ready if rack and s.domain == int(rack[1])]
    ways = sorted(named or ready, key=lambda s: (s.id.startswith("dgx"), s.racks))
    racks = [s for s in ways if s.domain > SERVER]
    enough = [s for s in ways if _together(s) >= chips]
    if racks and not named:
        return racks[0].id
    return (min(enough, key=_together) if enough else max(ways, key=_together)).id


def _together(unit: System) -> int:
    """Chips that work as one: a scale-up domain, or the cards of a server."""
    return unit.domain if unit.domain > 1 else unit.chips
