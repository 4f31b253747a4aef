"""Fits the curves of ops/efficiency.py to operator measurements and writes data/efficiency.csv and data/fabrics.csv.

    python tools/fit_efficiency.py INPUT_DIR
    python tools/fit_efficiency.py INPUT_DIR --table      how well each curve fits, as docs/models/operators.md has it

INPUT_DIR holds the binned operator tables op_eff_<sku>.csv and the matrix-product fits gemm_fit_params.csv (both
derived from the stored measurements of aiconfigurator @095f58a5, Apache-2.0). The written rows carry what was measured
(kind measured); chips that nobody measured get rows of kind inferred with a wider sigma, by the rules below. Rows of
subjects that are not chips (software stacks, practice) are kept as they are: tools/fit_training.py owns those.

Products have two curves a number format. The plain one (fp8) is what serving frameworks reach: their kernels quantise
their input in the measured time. The other (fp8_train) is for training, which counts quantising apart: see `trained`.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from exafleet.ops.efficiency import Product
from exafleet.ops.fit import channel, saturating
from exafleet.ops.roofline import grouped_time

DATA = Path(__file__).parent.parent / "src" / "exafleet" / "data"
COLUMNS = ["subject", "term", "at", "value", "low", "high", "unit", "kind", "source", "where", "as_of", "note"]
MEASURED_ON = "2026-08-21"
SKUS = {"a100_sxm": "a100-80gb-sxm", "h100_sxm": "h100-sxm", "h200_sxm": "h200-sxm", "b200_sxm": "b200-sxm",
        "b300_sxm": "b300-sxm", "gb200": "gb200-gpu", "gb300": "gb300-gpu", "l40s": "l40s",
        "rtx_pro_6000_server": "rtx-pro-6000"}
# The peak the tables divide by and ours differ here: efficiencies are of the peak in data/chips.csv.
SIBLINGS = {"a100-40gb-sxm": "a100-80gb-sxm", "a100-80gb-pcie": "a100-80gb-sxm", "h100-pcie": "h100-sxm",
            "h100-nvl": "h100-sxm", "h800-sxm": "h100-sxm", "h20": "h100-sxm", "gh200-96gb": "h100-sxm",
            "h200-nvl": "h200-sxm", "h100-96gb-hbm2e": "h100-sxm", "gh200-141gb": "h200-sxm", "b100": "b200-sxm",
            "l4": "l40s", "rtx-4090": "l40s", "rtx-5090": "rtx-pro-6000", "gb10": "rtx-pro-6000"}
# The stored B300 tables hold copies of GB300's for some operators; the same die fills the gap.
TWINS = {"b300_sxm": "gb300"}
DTYPES = {"bfloat16": "bf16", "fp8": "fp8", "nvfp4": "fp4"}
BLOCK = {"fp8_block": "fp8_block"}
# Peaks and bandwidths the stored fits divide by; those of data/chips.csv differ for some chips.
SPECS = "system_specs_seen_in_aiconfigurator.csv"
SPEC_PEAK = {"bf16": "gpu.bfloat16_tc_flops", "fp8": "gpu.fp8_tc_flops", "fp4": "gpu.fp4_tc_flops"}
# Chips whose best matrix product nobody published: that of the same die, as a share of peak.
CEILING_AS = {"h200-sxm": "h100-sxm", "gb300-gpu": "b300-sxm", "h100-96gb-hbm2e": "h100-sxm", "h800-sxm": "h100-sxm",
              "gh200-96gb": "h100-sxm"}
# A cap of 500 W on a chip made for 700 W: clocks go with the cube root of the power above the 100 W it idles at.
CAPPED = {"h100-96gb-hbm2e": ((500.0 - 100.0) / (700.0 - 100.0)) ** (1.0 / 3.0)}
# Products of training: tokens of a micro-batch, and widths of models and of their tensor-parallel slices.
TRAIN_M = np.array([2048.0, 4096.0, 8192.0, 16384.0])
TRAIN_NK = np.array([2048.0, 4096.0, 8192.0, 16384.0, 28672.0])
# Bytes of an element of products, and those a framework moves to quantise one (one copy, in the measured time).
WIDTH = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5625}
CAST = {"bf16": 0.0, "fp8": 3.0, "fp4": 2.5625}
# Expert layers that were measured alone: hidden, inner width, experts.
EXPERTS = {"DeepSeek-R1": (7168.0, 2048.0, 256.0), "Qwen3-235B": (4096.0, 1536.0, 128.0)}
TOPK = 8.0
# Where no expert layer was: kernels are the same on the next chip of the family.
EXPERTS_AS = {"a100_sxm": "h100_sxm"}
# A user's own chip, of which peaks and bandwidths are known and nothing was measured.
ANY_CHIP = "any-chip"
ANY_SINCE, ANY_SIGMA, UNKNOWN_SIGMA = "2017-06-12", 0.35, 0.30
# Generic curves for a chip nobody has measured: what tensor-core GPUs of three generations share, rounded. `compute`
# is the share of dense peak a large product reaches; low precision needs larger products (its offsets are larger).
GENERIC = {
    "bf16": {
        "launch": 5.0,
        "compute": 0.80,
        "memory": 0.80,
        "corner": 4.0,
        "m0": 64,
        "n0": 64,
        "k0": 64,
        "grouped": 0.7,
    },
    "fp8": {
        "launch": 5.0,
        "compute": 0.80,
        "memory": 0.85,
        "corner": 8.0,
        "m0": 200,
        "n0": 1600,
        "k0": 300,
        "grouped": 0.7,
    },
    "fp4": {
        "launch": 5.0,
        "compute": 0.65,
        "memory": 0.90,
        "corner": 16.0,
        "m0": 280,
        "n0": 2000,
        "k0": 600,
        "grouped": 0.7,
    },
}
GENERIC["int8"] = GENERIC["fp8"]
# TPUs: systolic arrays with a compiler that overlaps memory, runs of 65-70 % MFU imply 0.9 and more.
TPU_COMPUTE = 0.92
# Backward flash attention over forward at the same FLOPs: five products with more register pressure.
ATTENTION_BACKWARD = (0.80, 0.70, 0.95)
# Forward FlashAttention-3 on H100 at 16,384 tokens runs at 497 TFLOP/s with heads 64 wide and at 648 with 128 wide, and
# d / (d + w) has that ratio at w = 54. Other kernels gain less from width, or nothing.
HEAD_WIDTH, HEAD_WIDTHS = 54.0, (0.0, 80.0)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rounded(value: float) -> str:
    return f"{value:.3g}"


def row(subject: str, term: str, at: str, value: float, unit: str, kind: str, source: str, where: str, as_of: str,
        note: str = "", low: float | None = None, high: float | None = None) -> dict[str, str]:
    ends = {"low": "" if low is None else rounded(low), "high": "" if high is None else rounded(high)}
    return {"subject": subject, "term": term, "at": at, "value": rounded(value), **ends, "unit": unit, "kind": kind,
            "source": source, "where": where, "as_of": as_of, "note": note}


def best_rates() -> dict[str, dict[str, float]]:
    """Chip -> dtype -> best measured matrix product over dense peak, from the facts; a sister stands in for a chip."""
    known = chips()
    found: dict[str, dict[str, float]] = {}
    for r in read(DATA / "chips.csv"):
        if r["term"] == "matmul_rate":
            found.setdefault(r["subject"], {})[r["at"]] = float(r["value"]) * 1e12 / known[r["subject"]].peak[r["at"]]
    for other, sister in [("mi350x", "mi355x"), *CEILING_AS.items()]:
        found[other] = {**found.get(sister, {}), **found.get(other, {})}
    return found


def products(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Chip -> dtype -> parameters of the product curve, from the seven-parameter fits."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for r in read(folder / "gemm_fit_params.csv"):
        names = DTYPES | BLOCK
        if r["sku"] in SKUS and r["dtype"] in names:
            found.setdefault(SKUS[r["sku"]], {})[names[r["dtype"]]] = {
                "launch": float(r["B_t0_us"]),
                "compute": float(r["B_comp_eff"]),
                "memory": min(1.0, float(r["B_mem_eff"])),
                "corner": min(20.0, float(r["B_q"])),
                "m0": float(r["B_m0"]),
                "n0": float(r["B_n0"]),
                "k0": float(r["B_k0"]),
            }
    return found


def curve_time(c: dict[str, float], m: np.ndarray, n: np.ndarray, k: np.ndarray, peak: float) -> np.ndarray:
    """Seconds of products on one curve without launch and memory: those of training are far from both."""
    return 2.0 * (m + c["m0"]) * (n + c["n0"]) * (k + c["k0"]) / (c["compute"] * peak)


def trained(at: str, curves: dict[str, dict[str, float]], chip: Chip, spec: dict[str, str],
            best: dict[str, float]) -> dict[str, float]:
    """The curve of training from that of serving frameworks, in the same format.

    1. Shares are of our peak and bandwidth, not of those the fits divided by.
    2. A framework's low-precision product reads bf16 activations and quantises them in the measured time; training
       counts that apart. The pass (read two bytes, write one copy) is taken off over the sizes of training, and the
       wide offsets that stood for it give way to those of bf16 (in bytes: twice or four times as many elements).
    3. The best product anybody measured on the chip, sustained, is the ceiling of the largest products.
    """
    dtype = at.partition("_")[0]
    own, plain = dict(curves[at]), curves["bf16"]
    own["compute"] *= float(spec[SPEC_PEAK[dtype]]) / chip.peak[dtype]
    own["memory"] = min(1.0, own["memory"] * float(spec["gpu.mem_bw"]) / chip.hbm_bw)
    m, n, k = (a.ravel() for a in np.meshgrid(TRAIN_M, TRAIN_NK, TRAIN_NK))
    peak, width = chip.peak[dtype], WIDTH[dtype]
    if dtype != "bf16":
        alone = curve_time(own, m, n, k, peak) - CAST[dtype] * m * k / (own["memory"] * chip.hbm_bw)
        own |= {name: plain[name] for name in ("launch", "corner", "m0", "n0")}
        own["k0"] = plain["k0"] * 2.0 / width
        own["compute"] = float(np.median(curve_time(own | {"compute": 1.0}, m, n, k, peak) / alone))
    fastest = float(np.max(2.0 * m * n * k / curve_time(own, m, n, k, peak))) / peak
    own["compute"] *= min(1.0, best.get(dtype, 1.0) / fastest)
    return own


def fp4_lift(folder: Path, chip: Chip, curves: dict[str, dict[str, float]], best: float) -> float:
    """Products of training in NVFP4 over those of serving frameworks, whose scale layouts cost more than one pass.

    Training calls cublasLt. Its rate was published for one chip: the largest product there, the most sustained one, is
    compared with the framework's curve at the same size.
    """
    spec = {r["system"]: r for r in read(folder / SPECS)}["gb200"]
    curve, size = trained("fp4", curves, chip, spec, {}), np.array([16384.0])
    rate = 2.0 * size**3 / curve_time(curve, size, size, size, chip.peak["fp4"]) / chip.peak["fp4"]
    return best / float(rate[0])


def table(folder: Path, sku: str, op: str, axis: str, dtype: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """x and a median column of one binned table of the best kernel."""
    rows = [r for r in read(folder / f"op_eff_{sku}.csv")
            if r["op"].startswith(op) and r["fw"] == "best" and r["axis"] == axis and r["dtype"] == dtype and r[column]]
    if not rows and sku in TWINS:
        return table(folder, TWINS[sku], op, axis, dtype, column)
    rows.sort(key=lambda r: float(r["x"]))
    return np.array([float(r["x"]) for r in rows]), np.array([float(r[column]) for r in rows])


def attention(folder: Path, sku: str, op: str, dtype: str) -> tuple[float, float]:
    seq, share = table(folder, sku, op, "seq_len", dtype, "ce_med")
    keep = seq >= 512
    return saturating(seq[keep], share[keep])


def moving(folder: Path, sku: str, op: str, axis: str, dtype: str, hbm_bw: float) -> tuple[float, float]:
    """Launch [us] and bandwidth share of bytes-bound kernels from their binned bandwidth shares."""
    x, share = table(folder, sku, op, axis, dtype, "me_med")
    keep = (x >= 4) & (share < 1.0)
    nbytes = 2.0 ** (x[keep] + 0.5) * 1e6
    time = nbytes / (share[keep] * hbm_bw)
    top = float(np.max(share[keep]))
    launch = float(np.median(time - nbytes / (top * hbm_bw)))
    return max(launch, 1e-6) * 1e6, top


def grouped(folder: Path, sku: str, dtype: str, curve: dict[str, float], peak: float, moved: float) -> float:
    """Speed of expert products over plain ones in serving, from whole expert layers of 512 tokens an expert and more.

    The measured layer also permutes tokens and applies the activation, which the model counts apart: their bytes at
    `moved` B/s are taken off first, for a typical expert (hidden 4096, inner 2048, gated).
    """
    x, share = table(folder, sku, "moe(balanced", "log2_tokens_per_local_expert", dtype, "ce_med")
    keep = x >= 9
    m, h, inner = 2.0 ** (x[keep] + 0.5), 4096.0, 2048.0
    flops = 6.0 * h * inner
    apart = (8.0 * h + 6.0 * inner) / moved
    layer = flops / (share[keep] * peak)
    wasted = (1 + curve["n0"] / h) * (1 + curve["k0"] / (0.75 * h))
    plain = flops / (curve["compute"] * peak) * (1 + curve["m0"] / m) * wasted
    return float(np.clip(np.median(plain / np.maximum(layer - apart, 0.2 * layer)), 0.3, 1.0))


def expert_layers(folder: Path, sku: str, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hidden and inner width with tokens of an expert [L, 3], experts [L] and seconds [L] of whole expert layers.

    Two models of 128 tokens an expert and more, every expert on the chip, tokens spread evenly: there a layer is
    nothing but its products, its permutation and its activation. The best kernel of each size.
    """
    best: dict[tuple[float, ...], float] = {}
    for r in read(folder / "moe_layer_examples.csv"):
        tokens = float(r["tok_per_expert"])
        if (r["sku"], r["dtype"], r["ep"], r["dist"]) == (sku, dtype, "1", "balanced") and tokens >= 128:
            key = (*EXPERTS[r["model"]], tokens)
            best[key] = min(best.get(key, math.inf), float(r["lat_us"]) * 1e-6)
    keys = sorted(best)
    size = np.array(keys).reshape(-1, 4)
    return size[:, [0, 1, 3]], size[:, 2], np.array([best[k] for k in keys])


def expert_time(size: np.ndarray, experts: np.ndarray, curve: dict[str, float], ratio: float, dtype: str,
                chip: Chip) -> np.ndarray:
    """Seconds of those layers on a curve of training whose grouped products run at `ratio` of plain ones.

    Beside its products a serving layer writes each routed copy in the number format, reads gate and up and writes
    their product likewise, and adds a token's copies up again; tokens themselves are read and written once for all of
    its copies.
    """
    h, inner, tokens = size.T
    width, peak = WIDTH[dtype], chip.peak[dtype]
    product = Product(**{**curve, "launch": curve["launch"] * 1e-6, "grouped": ratio})
    beside = h * (width + 2.0 + 4.0 / TOPK) + inner * (4.0 + width)
    seconds = beside * tokens * experts / (curve["memory"] * chip.hbm_bw)
    for n, k in ((2.0 * inner, h), (h, inner)):
        moved = experts * (width * (tokens * k + k * n) + 2.0 * tokens * n)
        seconds = seconds + grouped_time(tokens, n, k, moved, peak=peak, hbm_bw=chip.hbm_bw, curve=product,
                                         groups=experts)
    return np.asarray(seconds)


def expert_ratio(folder: Path, sku: str, at: str, curve: dict[str, float], chip: Chip,
                 part: slice = slice(None)) -> float:
    """The ratio with the least median error in log time over some of the layers; NaN where none were measured."""
    size, experts, time = expert_layers(folder, sku, {v: k for k, v in (DTYPES | BLOCK).items()}[at])
    if not len(time):
        return math.nan
    tried = np.linspace(0.2, 1.0, 81)
    dtype = at.partition("_")[0]
    errors = [np.median(np.abs(np.log(expert_time(size[part], experts[part], curve, r, dtype, chip) / time[part])))
              for r in tried]
    return float(tried[int(np.argmin(errors))])


@dataclass(slots=True, kw_only=True)
class Chip:
    """What the package says of a chip: rates in B/s and FLOP/s, number formats in the order of its table."""

    vendor: str = ""
    since: str = "9999"
    dtypes: list[str] = field(default_factory=list)
    peak: dict[str, float] = field(default_factory=dict)
    hbm_bw: float = math.nan
    link_bw: float = 0.0
    nic_bw: float = 0.0


def chips() -> dict[str, Chip]:
    """Every chip of the package by its name."""
    found = {r["subject"]: Chip(vendor=r["vendor"]) for r in read(DATA / "subjects.csv") if r["kind"] == "chip"}
    rate = {"TB/s": 1e12, "GB/s": 1e9, "B/s": 1.0, "Gb/s": 1.25e8, "Gbps": 1.25e8, "TFLOP/s": 1e12, "PFLOP/s": 1e15}
    for r in read(DATA / "chips.csv"):
        if (chip := found.get(r["subject"])) is None:
            continue
        if r["term"] == "peak_flops":
            chip.since = min(chip.since, r["as_of"])
            chip.peak[r["at"]] = float(r["value"]) * rate[r["unit"]]
            if r["at"] in GENERIC and r["at"] not in chip.dtypes:
                chip.dtypes.append(r["at"])
        elif r["term"] in ("hbm_bw", "link_bw", "nic_bw"):
            setattr(chip, r["term"], float(r["value"]) * rate[r["unit"]])
    return found


def product_rows(
    chip: str, dtype: str, curve: dict[str, float], how: tuple[str, str, str, str], note: str
) -> Iterator[dict[str, str]]:
    for name, value in curve.items():
        unit = "us" if name == "launch" else "1"
        yield row(chip, f"product_{name}", dtype, value if value > 0.01 else 0.0, unit, *how, note)


def attention_rows(
    chip: str, at: str, top: float, half: float, how: tuple[str, str, str, str], note: str
) -> Iterator[dict[str, str]]:
    yield row(chip, "attention_top", at, top, "1", *how, note)
    yield row(chip, "attention_half", at, half, "1", *how, note)
    yield row(chip, "attention_launch", at, 6.0, "us", "inferred", *how[1:], "floor of short-sequence kernels")
    yield row(chip, "attention_width", at, HEAD_WIDTH, "1", "inferred", "flashattention-3",
              "forward speed by head width", how[3], "from heads 64 and 128 wide on H100", *HEAD_WIDTHS)
    mid, low, high = ATTENTION_BACKWARD
    yield row(chip, "attention_backward", at, mid, "1", "inferred", "exafleet", "docs/models/training.md", how[3],
              "forward kernels only were measured", low, high)


def generic(chip: str, about: Chip, best: dict[str, float]) -> Iterator[dict[str, str]]:
    """Rows of kind inferred that hold from the day the chip is known."""
    tpu = about.vendor in ("Google", "AWS")
    how = ("inferred", "exafleet", "docs/models/training.md", about.since)
    sigma = {"Huawei": UNKNOWN_SIGMA, "": ANY_SIGMA}.get(about.vendor, 0.20)
    for dtype in about.dtypes:
        curve = dict(GENERIC[dtype])
        note = "generic curve: nobody's measurement of this chip was published by then"
        if tpu:
            curve |= {"compute": TPU_COMPUTE, "n0": 128, "m0": 128, "k0": 128, "launch": 2.0}
            note = "systolic array with compiler-scheduled memory; from published MFU of 65-70 %"
        if chip not in SKUS.values() and chip not in SIBLINGS and dtype in best:
            curve["compute"] = best[dtype]
            note = "compute: best measured matrix product over peak; rest generic"
            sigma = 0.15
        yield from product_rows(chip, dtype, curve, how, note)
    yield from attention_rows(chip, "attention", 0.60, 1000.0, how, "generic flash attention")
    yield from attention_rows(chip, "mla", 0.55, 1200.0, how, "generic flash attention")
    yield from shared_rows(chip, how, (5.0, 0.85), 0.85, sigma)


def shared_rows(chip: str, how: tuple[str, str, str, str], decode: tuple[float, float], share: float,
                sigma: float) -> Iterator[dict[str, str]]:
    inferred = ("inferred", "exafleet", "docs/models/training.md", how[3])
    yield row(chip, "moving_launch", "decode", decode[0], "us", *how)
    yield row(chip, "moving_share", "decode", decode[1], "1", *how)
    yield row(chip, "moving_launch", "elementwise", 3.0, "us", *inferred, "floor of small kernels")
    yield row(
        chip,
        "moving_share",
        "elementwise",
        share,
        "1",
        *how,
        "share that memory-bound products of 0.5 GB and more reach",
    )
    yield row(
        chip, "scan_compute", "", 0.15, "1", *inferred, "Mamba-2 scans are short products between passes over memory"
    )
    yield row(chip, "operator_sigma", "", sigma, "1", *inferred, "log spread of operator times about the curve")


def training_curve(folder: Path, sku: str, at: str) -> tuple[dict[str, float], Chip]:
    """The curve of training of a measured chip itself, and the chip."""
    chip, known = SKUS[sku], chips()
    spec = {r["system"]: r for r in read(folder / SPECS)}[sku]
    return trained(at, products(folder)[chip], known[chip], spec, best_rates().get(chip, {})), known[chip]


def expert_ratio_of(folder: Path, sku: str, at: str) -> float:
    there = EXPERTS_AS.get(sku, sku)
    return expert_ratio(folder, there, at, *training_curve(folder, there, at))


def training_rows(folder: Path, sku: str, chip: str, tested: Chip, curves: dict[str, dict[str, float]],
                  best: dict[str, float], how: tuple[str, str, str, str], lift: float) -> Iterator[dict[str, str]]:
    spec = {r["system"]: r for r in read(folder / SPECS)}[sku]
    slower = CAPPED.get(chip, 1.0)
    for at in curves:
        dtype = at.partition("_")[0]
        curve = trained(at, curves, tested, spec, best)
        ratio = expert_ratio_of(folder, sku, at)
        ceiling = f"at most {best[dtype]:.3g} of peak: best sustained product" if dtype in best else "no ceiling known"
        note = f"for training: without the quantising of serving kernels; {ceiling}"
        note += f"; {slower:.2f} for the power cap" if slower < 1.0 else ""
        curve["compute"] *= slower * (lift if dtype == "fp4" else 1.0)
        note += f"; {lift:.2f} as cublasLt is to them" if dtype == "fp4" else ""
        yield from product_rows(chip, f"{at}_train", {**curve, "grouped": ratio}, how, note)


def measured(folder: Path, sku: str, chip: str, tested: Chip, curves: dict[str, dict[str, float]],
             how: tuple[str, str, str, str], sigma: float, note: str, best: dict[str, float],
             lift: float) -> Iterator[dict[str, str]]:
    _, large = table(folder, sku, "gemm", "log2_MB_weights(m<=8)", "bfloat16", "me_med")
    share = float(np.median(large[-4:]))
    slower = CAPPED.get(chip, 1.0)
    for dtype, curve in curves.items():
        if dtype in BLOCK:
            continue
        there = {v: k for k, v in DTYPES.items()}[dtype]
        ratio = grouped(folder, sku, there, curve, tested.peak[dtype], share * tested.hbm_bw)
        slowed = {**curve, "compute": curve["compute"] * slower, "grouped": ratio}
        yield from product_rows(chip, dtype, slowed, how, note)
    yield from training_rows(folder, sku, chip, tested, curves, best, how, lift)
    for at, op, dtype in (("attention", "context_attention", "bfloat16/kv:bfloat16"),
                          ("mla", "context_mla", "kv:bfloat16")):
        top, half = attention(folder, sku, op, dtype)
        yield from attention_rows(chip, at, top * slower, half, how, note)
    decode = moving(folder, sku, "generation_attention(d128)", "log2_MB_kv", "bfloat16/kv:bfloat16", tested.hbm_bw)
    yield from shared_rows(chip, how, decode, share, sigma)


def efficiency_rows(folder: Path) -> Iterator[dict[str, str]]:
    known, curves, best = chips(), products(folder), best_rates()
    lift = fp4_lift(folder, known["gb200-gpu"], curves["gb200-gpu"], best["gb200-gpu"]["fp4"])
    yield from generic(ANY_CHIP, Chip(since=ANY_SINCE, dtypes=list(GENERIC)), {})
    for chip, about in known.items():
        if about.dtypes:
            yield from generic(chip, about, best.get(chip, {}))
    for sku, chip in SKUS.items():
        if chip not in curves:
            continue
        how = (
            "measured",
            "aiconfigurator",
            f"@095f58a5 systems/data/{sku}: fits of tools/fit_efficiency.py",
            MEASURED_ON,
        )
        own = {d: c for d, c in curves[chip].items() if d.partition("_")[0] in known[chip].dtypes}
        yield from measured(folder, sku, chip, known[chip], own, how, 0.10, "", best.get(chip, {}), lift)
        for other, sister in SIBLINGS.items():
            if sister == chip:
                as_sister = (
                    "inferred",
                    "aiconfigurator",
                    f"@095f58a5 systems/data/{sku}: as its sister {sister}",
                    MEASURED_ON,
                )
                theirs = {d: c for d, c in own.items() if d.partition("_")[0] in known[other].dtypes}
                ceilings = best.get(other) or best.get(sister, {})
                yield from measured(folder, sku, other, known[chip], theirs, as_sister, 0.15, f"as {sister}",
                                    ceilings, lift)


def apart(errors: np.ndarray) -> str:
    return f"{len(errors)} | {np.median(errors):.1%} | {np.quantile(errors, 0.9):.1%}"


def attention_misfit(folder: Path, sku: str, op: str, dtype: str) -> np.ndarray:
    """Relative errors at every other sequence length, from a curve fitted to the rest."""
    seq, share = table(folder, sku, op, "seq_len", dtype, "ce_med")
    seq, share = seq[seq >= 512], share[seq >= 512]
    top, half = saturating(seq[::2], share[::2])
    return np.asarray(np.abs(top * seq[1::2] / (seq[1::2] + half) / share[1::2] - 1.0))


def moving_misfit(folder: Path, sku: str, op: str, axis: str, dtype: str) -> np.ndarray:
    """The same of the time of kernels that read 16 MB and more, by size."""
    x, share = table(folder, sku, op, axis, dtype, "me_med")
    keep = (x >= 4) & (share < 1.0)
    nbytes, time = 2.0 ** (x[keep] + 0.5), 2.0 ** (x[keep] + 0.5) / share[keep]
    top = float(np.max(share[keep][::2]))
    launch = max(float(np.median((time - nbytes / top)[::2])), 0.0)
    return np.asarray(np.abs((launch + nbytes[1::2] / top) / time[1::2] - 1.0))


def fit_table(folder: Path) -> Iterator[str]:
    """One line a chip, operator and number format: points held out of the fit, median and 90 % relative error."""
    yield from ("| operator | chip | format | held-out points | median error | p90 |", "|---|---|---|---|---|---|")
    names = DTYPES | BLOCK
    for r in read(folder / "gemm_fit_params.csv"):
        if r["sku"] in SKUS and r["dtype"] in names:
            yield (f"| product | {SKUS[r['sku']]} | {names[r['dtype']]} | {r['n_test']} | {float(r['B_med']):.1%} | "
                   f"{float(r['B_p90']):.1%} |")
    for sku, chip in SKUS.items():
        for name, op, dtype in (("attention", "context_attention", "bfloat16/kv:bfloat16"),
                                ("latent attention", "context_mla", "kv:bfloat16")):
            yield f"| {name} | {chip} | bf16 | {apart(attention_misfit(folder, sku, op, dtype))} |"
    for sku, chip in SKUS.items():
        for at in products(folder).get(chip, {}):
            size, experts, time = expert_layers(folder, sku, {v: k for k, v in names.items()}[at])
            if len(time):
                curve, about = training_curve(folder, sku, at)
                ratio = expert_ratio(folder, sku, at, curve, about, slice(0, None, 2))
                found = expert_time(size, experts, curve, ratio, at.partition("_")[0], about)
                yield f"| expert layer, training | {chip} | {at} | {apart(np.abs(found / time - 1.0)[1::2])} |"
    for sku, chip in SKUS.items():
        errors = moving_misfit(folder, sku, "generation_attention(d128)", "log2_MB_kv", "bfloat16/kv:bfloat16")
        yield f"| decode attention | {chip} | bf16 | {apart(errors)} |"


COLLECTIVES = {"all_gather": "all_gather", "reduce_scatter": "reduce_scatter", "all_reduce": "all_reduce",
               "all_to_all": "alltoall"}
# Scale-up without measurements: share of the one-way link rate, latency of two ranks [us], half message [MB].
LINK = {"share": 0.78, "latency": 6.0, "half": 6.0}
# Scale-out over InfiniBand or RoCE at 200 to 800 Gb/s a chip: share of the NIC rate, latency [us], half message [MB].
NIC = {"share": 0.85, "latency": 15.0, "half": 4.0}
NIC_ALL_TO_ALL = {"share": 0.65, "latency": 25.0, "half": 4.0}


def collective(folder: Path, sku: str, name: str) -> tuple[float, float, float]:
    """latency of two ranks [us], bus bandwidth [B/s] and half message [B]: the fit with least error in log time."""
    n = 8 if sku not in ("gb200", "gb300") else 4
    rows = [r for r in read(folder / f"op_eff_{sku}.csv") if r["op"] == f"coll:{name} n={n}" and r["fw"] == "best"]
    nbytes = np.array([float(r["x"]) for r in rows])
    time = np.array([float(r["lat_us_med"]) * 1e-6 for r in rows])
    kind = next(k for k, theirs in COLLECTIVES.items() if theirs == name)
    found = channel(nbytes, time, kind, n, np.geomspace(1e10, 1.2e12, 160), np.geomspace(1e5, 6e7, 60))
    return found.latency * 1e6, found.bandwidth, found.half


def level_rows(
    chip: str, level: str, at: str, values: dict[str, float], how: tuple[str, str, str, str], note: str = ""
) -> Iterator[dict[str, str]]:
    yield row(chip, f"{level}_share", at, values["share"], "1", *how, note)
    yield row(chip, f"{level}_latency", at, values["latency"], "us", *how, note)
    yield row(chip, f"{level}_half", at, values["half"], "MB", *how, note)


def fabric_rows(folder: Path) -> Iterator[dict[str, str]]:
    known = chips()
    for chip, about in [(ANY_CHIP, Chip(since=ANY_SINCE, link_bw=1.0)), *known.items()]:
        how = ("inferred", "exafleet", "docs/models/training.md", about.since)
        if about.link_bw:
            yield from level_rows(chip, "link", "", LINK, how, "generic scale-up link")
        yield from level_rows(chip, "nic", "", NIC, how, "generic scale-out network")
        yield from level_rows(chip, "nic", "all_to_all", NIC_ALL_TO_ALL, how, "many small messages across the network")
    for sku, chip in SKUS.items():
        link = known[chip].link_bw
        if sku in ("l40s", "rtx_pro_6000_server") or not link:
            continue
        for at, name in COLLECTIVES.items():
            latency, bandwidth, half = collective(folder, sku, name)
            values = {"share": bandwidth / link, "latency": latency, "half": half / 1e6}
            how = ("measured", "aiconfigurator", f"@095f58a5 systems/data/{sku} nccl_perf", MEASURED_ON)
            yield from level_rows(chip, "link", at, values, how)
            for other in (o for o, s in SIBLINGS.items() if s == chip and known[o].link_bw):
                sister = (
                    "inferred",
                    "aiconfigurator",
                    f"@095f58a5 systems/data/{sku} nccl_perf, as its sister",
                    MEASURED_ON,
                )
                yield from level_rows(other, "link", at, values, sister, f"as {chip}")


def write(name: str, rows: list[dict[str, str]]) -> None:
    """Written beside and renamed, so that no reader ever sees half a table."""
    beside = DATA / f".{name}.new"
    with beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(DATA / name)


def main() -> None:
    folder = Path(sys.argv[1])
    if "--table" in sys.argv:
        print("\n".join(fit_table(folder)))
        return
    kept = []
    if (DATA / "efficiency.csv").exists():
        known = chips()
        kept = [r for r in read(DATA / "efficiency.csv") if r["subject"] not in (*known, ANY_CHIP)]
    write("efficiency.csv", [*efficiency_rows(folder), *kept])
    write("fabrics.csv", list(fabric_rows(folder)))


if __name__ == "__main__":
    main()
