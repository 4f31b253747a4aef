"""Runs operators on the device at hand and times them: what ops/fit.py makes curves of. Needs PyTorch, imported late.

Each point is the median of several runs after a warm-up, with the caches flushed before each run; its spread is half
the range between the quartiles over the median. On CUDA (and ROCm) events time the device alone: a wait is queued
first, so that the host is ahead. Cases come in an order in which any beginning covers the range of sizes.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from exafleet.work.counts import ELEMENT_BYTES, seen
from exafleet.work.operators import ATTENTION_BACKWARD

Floats = npt.NDArray[np.float64]
Run = Callable[[], object]
# Bytes written before each run: more than the last-level cache of anything that is on sale.
FLUSH = {"cuda": 512 << 20, "mps": 128 << 20, "cpu": 64 << 20}
# Longest ideal time of one run, and what all runs of one point may take together. [s]
LONGEST = {"cuda": 0.03, "mps": 0.1, "cpu": 0.15}
POINT = {"cuda": 0.6, "mps": 1.0, "cpu": 1.0}
# Cycles the device waits while the host queues a run: about a millisecond.
WAIT_CYCLES = 2_000_000
# Sizes of products over the side of a middling one; the first halves of these lists already span the range.
SHAPES = ((8, 8, 8), (1, 1, 1), (0.125, 0.125, 0.125), (0.0625, 8, 8), (8, 1, 1), (1, 8, 1), (1, 1, 8), (4, 4, 4),
          (0.25, 4, 4), (4, 0.25, 4), (4, 4, 0.25), (0.5, 0.5, 0.5), (2, 2, 2), (8, 0.0625, 8), (8, 8, 0.0625),
          (0.25, 0.25, 0.25), (2, 8, 4), (0.0078125, 4, 8), (4, 2, 8), (8, 4, 2), (0.0625, 4, 2), (3, 3, 3),
          (0.5, 8, 2), (2, 0.5, 8), (1, 4, 2), (2, 1, 0.5), (1.5, 6, 2), (0.03125, 8, 2), (6, 1.5, 3), (0.5, 2, 1))
GROUPED = ((8, 1, 2, 1), (4, 0.25, 1, 2), (16, 0.5, 1, 1), (8, 0.25, 0.5, 0.5), (2, 1, 1, 1), (32, 0.125, 1, 0.5))
SEQUENCES = (2048, 256, 8192, 512, 16384, 1024, 4096, 128)
WIDTHS = {"attention": ((128, 128), (64, 64)), "mla": ((192, 128),)}
HEADS = 16
CACHES = ((8, 2048), (1, 1024), (32, 4096), (4, 512), (16, 8192), (1, 8192), (64, 1024), (2, 256))
CACHE_HEADS, CACHE_WIDTH = (32, 8), 128
BYTES = tuple(4.0**p for p in (11, 6, 13, 8, 15, 10, 14, 7, 12, 9))
PARAMETERS = tuple(4**p for p in (10, 12, 8, 13, 9, 11))
TINY_KERNELS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The device that is measured.

    kind     "cuda" (NVIDIA, and AMD through ROCm), "mps" or "cpu"
    count    devices of this name in the machine                                   [1]
    nbytes   memory of one device                                                  [B]
    driver   version of driver and runtime, as far as the machine tells
    """

    kind: str
    device: str
    name: str
    torch: str
    driver: str
    count: int
    nbytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One point to measure: its sizes, its ideal seconds, and how to make the call that is timed."""

    group: str
    at: str
    sizes: Mapping[str, float]
    ideal: float
    make: Callable[[Any, str], Run]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured point: median time of `runs` runs, and half the range of the middle half over it."""

    group: str
    at: str
    sizes: Mapping[str, float]
    time: float
    spread: float
    runs: int


def columns(points: Iterable[Point], *names: str) -> list[Floats]:
    """Sizes of points by name; "time" and "spread" are their own. [N]"""
    many = list(points)
    return [np.array([float(getattr(p, n)) if n in ("time", "spread") else p.sizes[n] for p in many]) for n in names]


def machine(device: str | None = None) -> Machine:
    """The device called so ("cuda:0", "mps", "cpu"), or the best one here; raises ValueError when it is not here."""
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = device or next(kind for kind, is_here in here.items() if is_here)
    kind, _, index = name.partition(":")
    if not here.get(kind, False) or (index and not index.isdecimal()):
        raise ValueError(f"not among {', '.join(k for k, is_here in here.items() if is_here)}")
    if kind == "cuda":
        return _cuda(torch, int(index or 0))
    return Machine(kind=kind, device=kind, name=_processor(), torch=torch.__version__, driver="none",
                   count=1, nbytes=float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))


def _cuda(torch: Any, index: int) -> Machine:
    if index >= torch.cuda.device_count():
        raise ValueError(f"there are {torch.cuda.device_count()} GPUs, counted from 0")
    about = torch.cuda.get_device_properties(index)
    count = sum(torch.cuda.get_device_name(i) == about.name for i in range(torch.cuda.device_count()))
    runtime = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
    return Machine(kind="cuda", device=f"cuda:{index}", name=about.name, torch=torch.__version__, count=count,
                   driver=f"{_driver()} ({runtime})", nbytes=float(about.total_memory))


def _driver() -> str:
    """Version of the NVIDIA driver, or "unknown"."""
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], text=True,
                              capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.split("\n", 1)[0].strip() or "unknown"


def _processor() -> str:
    """What the processor calls itself."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            named = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        named = ""
    return f"{named or platform.processor() or platform.machine()} ({os.cpu_count()} cores)"


# ---------------------------------------------------------------------------------------------------------- timing
class Clock:
    """Times calls on one device; on a processor with the share of its cores that one of `ranks` gets."""

    def __init__(self, machine: Machine, *, quick: bool = False, ranks: int = 1) -> None:
        import torch

        if machine.kind == "cpu":
            torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // ranks)))

        self.torch, self.machine = torch, machine
        self.runs = (3, 7) if quick else (5, 25)
        self.per_point = POINT[machine.kind] * (0.4 if quick else 1.0)
        self.scratch = torch.zeros(FLUSH[machine.kind] // 4, dtype=torch.int32, device=machine.device)

    def time(self, run: Run) -> tuple[float, float, int]:
        """Median seconds of a call, its spread, and the number of runs; the first run is not counted."""
        run()
        first = self._some(run, 1)[0]
        fewest, most = self.runs
        runs = int(np.clip(self.per_point / max(first, 1e-6), fewest, most))
        times = np.array(self._some(run, runs))
        low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
        return float(middle), float((high - low) / 2 / middle), runs

    def _some(self, run: Run, runs: int) -> list[float]:
        if self.machine.kind == "cpu":
            return [self._on_host(run) for _ in range(runs)]
        return self._on_device(run, runs)

    def _on_host(self, run: Run) -> float:
        self.scratch.add_(1)
        began = time.perf_counter()
        run()
        return max(time.perf_counter() - began, 1e-9)

    def _on_device(self, run: Run, runs: int) -> list[float]:
        home = self.torch.cuda if self.machine.kind == "cuda" else self.torch.mps
        event = getattr(home, "Event", None) or self.torch.mps.event.Event
        pairs = [(event(enable_timing=True), event(enable_timing=True)) for _ in range(runs)]
        for before, after in pairs:
            self.scratch.add_(1)
            if self.machine.kind == "cuda":
                self.torch.cuda._sleep(WAIT_CYCLES)
            before.record()
            run()
            after.record()
        home.synchronize()
        return [max(before.elapsed_time(after) * 1e-3, 1e-9) for before, after in pairs]

    def launch(self) -> float:
        """Time the host needs to hand over one tiny kernel. [s]"""
        one = self.torch.zeros(1, device=self.machine.device)
        for _ in range(100):
            one.add_(1)
        self._wait()
        began = time.perf_counter()
        for _ in range(TINY_KERNELS):
            one.add_(1)
        taken = time.perf_counter() - began
        self._wait()
        return taken / TINY_KERNELS

    def _wait(self) -> None:
        if self.machine.kind != "cpu":
            (self.torch.cuda if self.machine.kind == "cuda" else self.torch.mps).synchronize()


def measure(clock: Clock, cases: Iterable[Case], *, deadline: float, told: Callable[[Case], None],
            skipped: list[str]) -> Iterator[Point]:
    """Points of the cases that run, one by one, until `deadline` on the monotonic clock.

    told     called before each case
    skipped  grows by one line for each case the device or PyTorch refuses
    """
    for case in cases:
        if time.monotonic() >= deadline:
            skipped.append(f"{case.group} {case.at}: no time was left")
            continue
        told(case)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch warns of what it then raises
                run = case.make(clock.torch, clock.machine.device)
                median, spread, runs = clock.time(run)
        except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
            skipped.append(f"{case.group} {case.at}: {str(error).splitlines()[0][:120]}")
            continue
        yield Point(group=case.group, at=case.at, sizes=case.sizes, time=median, spread=spread, runs=runs)


# ----------------------------------------------------------------------------------------------------------- cases
def probe(clock: Clock, dtype: str) -> float:
    """A rough rate of products, to choose sizes by. [FLOP/s]"""
    side, rate = 64, 0.0
    while side <= 8192:
        taken, _, _ = clock.time(_product(side, side, side, dtype)(clock.torch, clock.machine.device))
        rate = max(rate, 2.0 * side**3 / taken)
        if taken > LONGEST[clock.machine.kind] / 8:
            break
        side *= 2
    return rate


def probe_memory(clock: Clock) -> float:
    """A rough memory bandwidth, to choose sizes by. [B/s]"""
    nbytes = FLUSH[clock.machine.kind]
    taken, _, _ = clock.time(_copy(nbytes)(clock.torch, clock.machine.device))
    return nbytes / taken


def product_cases(machine: Machine, dtype: str, rate: float, hbm_bw: float, *, quick: bool) -> list[Case]:
    """Matrix products from launch-bound to compute-bound, tall and skinny ones among them, and grouped ones.

    rate    FLOP/s to expect of large ones      [FLOP/s]
    hbm_bw  of the device                       [B/s]
    """
    side = middling(rate, LONGEST[machine.kind] * (0.25 if quick else 1.0))
    cases, known = [], set()
    for ratios in SHAPES[: len(SHAPES) * 2 // 3 if quick else len(SHAPES)]:
        m, n, k = (max(16, round(r * side / 16) * 16) for r in ratios)
        if (m, n, k) not in known:
            known.add((m, n, k))
            cases.append(_product_case("product", dtype, 1, m, n, k, rate, hbm_bw))
    if dtype == "bf16":
        for groups, *rest in GROUPED:
            m, n, k = (max(16, round(r * side / 16) * 16) for r in rest)
            cases.append(_product_case("grouped", dtype, groups, m, n, k, rate, hbm_bw))
    return _that_fit(cases, machine)


def middling(rate: float, longest: float) -> int:
    """The side of a product an eighth of the largest that takes `longest`: a power of two from 16 to 2048.

    >>> middling(1e15, 0.03), middling(1e9, 0.15)
    (2048, 32)
    """
    largest = (longest * rate / 2.0) ** (1.0 / 3.0)
    return int(np.clip(2 ** int(np.log2(max(largest / 8.0, 1.0))), 16, 2048)) if largest < 1e9 else 2048


def _product_case(group: str, dtype: str, groups: int, m: int, n: int, k: int, rate: float, hbm_bw: float) -> Case:
    nbytes = groups * (ELEMENT_BYTES[dtype] * (m * k + k * n) + ELEMENT_BYTES["bf16"] * m * n)
    flops = 2.0 * groups * m * n * k
    sizes = {"m": m, "n": n, "k": k, "groups": groups, "nbytes": nbytes, "flops": flops}
    make = _product(m, n, k, dtype) if groups == 1 else _grouped(groups, m, n, k)
    return Case(group=group, at=dtype, sizes=sizes, ideal=flops / rate + nbytes / hbm_bw, make=make)


def _product(m: int, n: int, k: int, dtype: str) -> Callable[[Any, str], Run]:
    def bf16(torch: Any, device: str) -> Run:
        a, b = (_random(torch, device, *s) for s in ((m, k), (k, n)))
        out = torch.empty(m, n, dtype=torch.bfloat16, device=device)
        return lambda: torch.matmul(a, b, out=out)

    def fp8(torch: Any, device: str) -> Run:
        a = _random(torch, device, m, k).to(torch.float8_e4m3fn)
        b = _random(torch, device, n, k).to(torch.float8_e4m3fn).t()
        one = torch.ones((), device=device)
        return lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)

    return fp8 if dtype == "fp8" else bf16


def _grouped(groups: int, m: int, n: int, k: int) -> Callable[[Any, str], Run]:
    """PyTorch's grouped product where it has one, else a batched one."""

    def make(torch: Any, device: str) -> Run:
        a, b = (_random(torch, device, groups, *s) for s in ((m, k), (k, n)))
        if device.startswith("cuda") and hasattr(torch.nn.functional, "grouped_mm"):
            rows = a.reshape(groups * m, k)
            ends = torch.arange(m, groups * m + 1, m, dtype=torch.int32, device=device)
            return lambda: torch.nn.functional.grouped_mm(rows, b, offs=ends)
        return lambda: torch.bmm(a, b)

    return make


def attention_cases(machine: Machine, kind: str, rate: float, hbm_bw: float, *, quick: bool) -> list[Case]:
    """Causal flash attention, forward and backward, over sequence lengths and head widths.

    kind    "attention", or "mla" with keys wider than values
    rate    FLOP/s to expect                 [FLOP/s]
    hbm_bw  of the device                    [B/s]
    """
    longest = LONGEST[machine.kind] * (0.5 if quick else 1.0)
    cases = []
    # What is too long here makes room for what is short enough: a slow device gets shorter sequences.
    lengths = [s for s in SEQUENCES if _attention_flops(s, 128, 128) * ATTENTION_BACKWARD / rate < longest]
    lengths += [s for s in (64, 32, 96, 192, 384) if len(lengths) < 5]
    for seq in lengths[: 6 if quick else 8]:
        for keys, values in WIDTHS[kind]:
            for backward in (False, True):
                flops = _attention_flops(seq, keys, values) * (ATTENTION_BACKWARD if backward else 1.0)
                sizes = {"seq": seq, "keys": keys, "values": values, "flops": flops, "backward": float(backward)}
                moved = 4.0 * seq * HEADS * (keys + values)
                cases.append(Case(group=kind, at=kind, sizes=sizes, ideal=flops / rate + moved / hbm_bw,
                                  make=_attention(seq, keys, values, backward)))
    return _that_fit(cases, machine)


def _attention_flops(seq: int, keys: int, values: int) -> float:
    return float(2.0 * (keys + values) * HEADS * seq * seen(seq, 0))


def _attention(seq: int, keys: int, values: int, backward: bool) -> Callable[[Any, str], Run]:
    def make(torch: Any, device: str) -> Run:
        q, k, v = (_random(torch, device, 1, HEADS, seq, d).requires_grad_(backward) for d in (keys, keys, values))

        def forward() -> Any:
            with flash(torch):
                return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

        if not backward:
            return forward
        out = forward()
        grown = torch.ones_like(out)
        return lambda: torch.autograd.grad(out, (q, k, v), grown, retain_graph=True)

    return make


def flash(torch: Any) -> Any:
    """A context in which attention never forms the whole table of scores; what cannot do that raises."""
    known = torch.nn.attention.SDPBackend
    named = ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION")
    return torch.nn.attention.sdpa_kernel([getattr(known, n) for n in named if hasattr(known, n)])


def memory_cases(machine: Machine, hbm_bw: float, *, quick: bool) -> list[Case]:
    """Copies and sums from a few kB up (the launch floor among them), reading of caches in decode, and AdamW."""
    longest = LONGEST[machine.kind] * (0.3 if quick else 1.0)
    cases = []
    for nbytes in BYTES:
        cases += [Case(group="moving", at="elementwise", sizes={"nbytes": nbytes}, ideal=nbytes / hbm_bw,
                       make=make(nbytes)) for make in (_copy, _add)]
    # fp32 weight, gradient and two moments are read, all but the gradient written.
    cases += [Case(group="optimizer", at="adamw", sizes={"nbytes": 28.0 * count, "parameters": count},
                   ideal=28.0 * count / hbm_bw, make=_adamw(count)) for count in PARAMETERS]
    for sequences, context in CACHES:
        nbytes = 2.0 * 2.0 * sequences * context * CACHE_HEADS[1] * CACHE_WIDTH
        cases.append(Case(group="moving", at="decode", sizes={"nbytes": nbytes, "sequences": sequences, "seq": context},
                          ideal=nbytes / hbm_bw, make=_decode(sequences, context)))
    return [c for c in _that_fit(cases, machine) if c.ideal < longest]


def _copy(nbytes: float) -> Callable[[Any, str], Run]:
    def make(torch: Any, device: str) -> Run:
        a = _random(torch, device, int(nbytes) // 4)
        b = torch.empty_like(a)
        return lambda: b.copy_(a)

    return make


def _add(nbytes: float) -> Callable[[Any, str], Run]:
    def make(torch: Any, device: str) -> Run:
        a = _random(torch, device, int(nbytes) // 6)
        b, c = torch.ones_like(a), torch.empty_like(a)
        return lambda: torch.add(a, b, out=c)

    return make


def _decode(sequences: int, context: int) -> Callable[[Any, str], Run]:
    def make(torch: Any, device: str) -> Run:
        heads, cached = CACHE_HEADS
        q = _random(torch, device, sequences, heads, 1, CACHE_WIDTH)
        k, v = (_random(torch, device, sequences, cached, context, CACHE_WIDTH) for _ in "kv")
        return lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    return make


def _adamw(count: int) -> Callable[[Any, str], Run]:
    def make(torch: Any, device: str) -> Run:
        weight = torch.nn.Parameter(torch.zeros(count, device=device))
        weight.grad = torch.ones_like(weight)
        step: Run = torch.optim.AdamW([weight], fused=True).step
        return step

    return make


def _random(torch: Any, device: str, *shape: int) -> Any:
    """Values about zero: all-zero operands draw less power and run faster than any real ones."""
    return torch.randn(*shape, device=device, dtype=torch.float32).to(torch.bfloat16)


def _that_fit(cases: list[Case], machine: Machine) -> list[Case]:
    """Cases that are short enough, and whose operands (with room for fp32 copies) fit into memory."""
    return [c for c in cases
            if c.ideal < 2.0 * LONGEST[machine.kind] and 4.0 * c.sizes.get("nbytes", 0.0) < 0.5 * machine.nbytes]
