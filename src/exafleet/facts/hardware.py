"""Chips and systems as the physics floors need them: plain floats in base units, read from facts as of a date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One accelerator as its users count it (one GPU package, one TPU chip), never a superchip or a rack.

    peak_flops   dense datasheet peak by dtype: "fp32" "tf32" "bf16" "fp8" "fp6" "fp4" "int8"   [FLOP/s]
    hbm_bytes    memory of one chip                                                            [B]
    hbm_bw       memory bandwidth of one chip                                                  [B/s]
    link_bw      scale-up bandwidth of one chip, one direction; 0 where there is none           [B/s]
    nic_bw       scale-out bandwidth of one chip, one direction; 0 where there is none          [B/s]
    tdp          rated power of one chip                                                       [W]
    """

    id: str
    name: str
    vendor: str
    family: str
    peak_flops: Mapping[str, float]
    hbm_bytes: float
    hbm_bw: float
    link_bw: float
    nic_bw: float
    tdp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What is ordered and installed as one piece: a server, a rack, a pod.

    chips        accelerators in one unit                                                   [1]
    domain       accelerators that share one scale-up domain                                [1]
    power_max    rated IT power of one unit, hosts and network included                      [W]
    liquid       the unit needs liquid cooling
    racks        rack positions one unit takes (an 8-GPU air-cooled server: 0.25)            [1]
    """

    id: str
    name: str
    chip: Chip
    chips: int
    domain: int
    power_max: float
    liquid: bool
    racks: float
