"""Accelerators as submitters write them."""

from datetime import date

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.step.measured.cells import NotUsable
from exafleet.step.measured.chip_words import holder, spoken_chip

FACTS = load_facts(date(2026, 11, 23))


@pytest.mark.parametrize(("text", "chip"), [
    ("NVIDIA B200-SXM-180GB", "b200-sxm"), ("NVIDIA H200-SXM-141GB-CTS", "h200-sxm"),
    ("Virtualized NVIDIA H200-SXM-141GB", "h200-sxm"), ("NVIDIA H100-NVL-94GB", "h100-nvl"),
    ("NVIDIA H100-PCIe-80GB", "h100-pcie"), ("NVIDIA H100-SXM-80GB", "h100-sxm"),
    ("NVIDIA GH200 Grace Hopper Superchip 144GB", "gh200-141gb"),
    ("NVIDIA GH200 Grace Hopper Superchip 96GB", "gh200-96gb"), ("NVIDIA GB200", "gb200-gpu"),
    ("NVIDIA GB300-288GB_aarch64", "gb300-gpu"), ("NVIDIA B300-SXM-270GB", "b300-sxm"), ("B200 SXM", "b200-sxm"),
    ("NVIDIA L40S", "l40s"), ("NVIDIA L4", "l4"), ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
    ("AMD Instinct MI325X 256GB HBM3e", "mi325x"), ("AMD MI300X-NPS1-SPX-192GB-750W", "mi300x"),
    ("AMD Instinct MI355X 288GB HBM3e", "mi355x"), ("Intel Gaudi 3", "gaudi3"), ("Intel(R) Gaudi(R) 2", "gaudi2"),
    ("Google TPU v6e", "tpu-v6e"), ("TPU v5e", "tpu-v5e"), ("Trillium", "tpu-v6e"), ("TPU7x", "tpu7x"),
    ("NVIDIA Vera Rubin NVL72", "rubin"), ("h200-sxm", "h200-sxm"),
])
def test_names_are_understood(text, chip):
    assert spoken_chip(FACTS, text).id == chip


@pytest.mark.parametrize(("text", "why"), [
    ("", "no accelerator is stated"), ("[MAXSUN] MS-Intel Arc Pro B60 Dual 48G Turbo", "unknown accelerator"),
    ("AMD Instinct MI300X 192GB HBM3 (x32), AMD Instinct MI325X 256GB HBM3e (x16)", "several kinds of accelerators"),
    ("XPU-1", "unknown accelerator"),
])
def test_what_names_no_chip_says_so(text, why):
    with pytest.raises(NotUsable, match=why):
        spoken_chip(FACTS, text)


@pytest.mark.parametrize(("text", "chips", "system"), [
    ("H200", 1, "hgx-h200"), ("H200", 32, "hgx-h200"), ("NVIDIA GB200", 72, "gb200-nvl72"),
    ("NVIDIA GB200 NVL72", 4, "gb200-nvl72"), ("NVIDIA GB200", 4, "gb200-nvl72"),
    ("NVIDIA GB200 NVL4", 4, "gb200-nvl4"), ("NVIDIA Vera Rubin NVL72", 8, "vr-nvl72"),
    ("NVIDIA L40S", 8, "l40s-8"), ("NVIDIA RTX PRO 6000", 4, "rtx-pro-6000-4"),
])
def test_a_run_is_placed_in_a_rack_or_in_the_smallest_server_that_holds_it(text, chips, system):
    assert holder(FACTS, spoken_chip(FACTS, text), chips, text) == system
