"""Runs collectives over the devices of this machine, one process each, and times them. Needs PyTorch, imported late.

NCCL on GPUs, gloo on processors. Every rank runs the same cases; the time of a call is that of the slowest rank over
several calls back to back, and a point the median of several such rounds.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from exafleet.ops.measure import Point

KINDS = ("all_gather", "reduce_scatter", "all_reduce", "all_to_all", "p2p")
# Whole messages; the first half of the list spans the range already. [B]
MESSAGES = {"cuda": tuple(float(2**p) for p in (20, 14, 26, 17, 29, 23, 12, 28, 18, 24, 15, 21, 27, 30)),
            "cpu": tuple(float(2**p) for p in (16, 12, 22, 18, 24, 14, 20, 23, 13, 21, 19, 25))}
CALLS, ROUNDS = 5, 7
SLOWEST = 600.0


class RanksFailed(RuntimeError):
    """A rank ended early; says what it told."""


def collective_points(kind: str, ranks: int, *, deadline: float, quick: bool) -> Iterator[Point]:
    """Points of every collective over `ranks` devices, one by one, until `deadline` on the monotonic clock.

    kind   "cuda" or "cpu"
    ranks  processes, each with a device of its own (or its share of the processor's cores)

    Raises RanksFailed. However it ends, no process stays behind.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="exafleet-") as folder:
        left = max(deadline - time.monotonic(), 0.0)
        processes = [context.Process(target=_rank, daemon=True,
                                     args=(r, ranks, kind, str(Path(folder) / "ranks"), left, quick, there))
                     for r in range(ranks)]
        try:
            for process in processes:
                process.start()
            there.close()
            yield from _told(here, [p.is_alive for p in processes], left)
        finally:
            for process in processes:
                if process.pid is not None:
                    process.join(2.0)
                    process.kill()
                    process.join()
            here.close()


def _told(pipe: Connection, alive: list[Callable[[], bool]], left: float) -> Iterator[Point]:
    """What the first rank sends until it says that it is done."""
    patience = time.monotonic() + left + SLOWEST
    while True:
        if pipe.poll(0.5):
            try:
                found = pipe.recv()
            except EOFError:
                raise RanksFailed("a rank ended without a word") from None
            if found is None:
                return
            if isinstance(found, str):
                raise RanksFailed(found)
            yield found
        elif not all(one() for one in alive) and not pipe.poll(2.0):
            raise RanksFailed("a rank ended without a word")
        elif time.monotonic() > patience:
            raise RanksFailed("the ranks never answered")


def _rank(rank: int, ranks: int, kind: str, store: str, left: float, quick: bool, out: Connection) -> None:
    """One rank: measures until the first rank finds the time is up."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    warnings.simplefilter("ignore")
    try:
        _measure(torch, rank, ranks, kind, store, time.monotonic() + left, quick, out)
    except (RuntimeError, ValueError) as error:
        out.send(f"rank {rank}: {str(error).splitlines()[0][:200]}")
    else:
        if rank == 0:
            out.send(None)


def _measure(torch: Any, rank: int, ranks: int, kind: str, store: str, deadline: float, quick: bool,
             out: Connection) -> None:
    import os

    group = torch.distributed
    if kind == "cuda":
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // ranks))
    group.init_process_group("nccl" if kind == "cuda" else "gloo", init_method=f"file://{store}", rank=rank,
                             world_size=ranks)
    device = f"cuda:{rank}" if kind == "cuda" else "cpu"
    messages = MESSAGES[kind][: 8 if quick else None]
    for nbytes in messages:
        for name in KINDS:
            stop = torch.tensor([float(time.monotonic() >= deadline)], device=device)
            group.broadcast(stop, 0)
            if stop.item():
                break
            run = _call(torch, name, nbytes, rank, ranks, device)
            times = np.array([_slowest(torch, run, device) for _ in range(3 if quick else ROUNDS)])
            low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
            if rank == 0:
                sizes = {"nbytes": nbytes, "ranks": 2.0 if name == "p2p" else float(ranks)}
                out.send(Point(group="collective", at=name, sizes=sizes, time=float(middle), runs=len(times),
                               spread=float((high - low) / 2 / middle)))
    group.barrier()
    group.destroy_process_group()


def _slowest(torch: Any, run: Callable[[], object], device: str) -> float:
    """Seconds of one call on the slowest rank, over several calls back to back."""
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    torch.distributed.barrier()
    began = time.perf_counter()
    for _ in range(CALLS):
        run()
    if device != "cpu":
        torch.cuda.synchronize()
    taken = torch.tensor([time.perf_counter() - began], device=device, dtype=torch.float64)
    torch.distributed.all_reduce(taken, op=torch.distributed.ReduceOp.MAX)
    return float(taken.item()) / CALLS


def _call(torch: Any, name: str, nbytes: float, rank: int, ranks: int, device: str) -> Callable[[], object]:
    """The call of one collective on a whole message of `nbytes` in bf16."""
    group = torch.distributed
    share = max(int(nbytes) // 2 // ranks, 1)
    whole = torch.ones(share * ranks, dtype=torch.bfloat16, device=device)
    part = torch.ones(share, dtype=torch.bfloat16, device=device)
    # New names first: releases of PyTorch that have them warn of the old ones.
    gather = getattr(group, "all_gather_single", None) or group.all_gather_into_tensor
    scatter = getattr(group, "reduce_scatter_single", None) or group.reduce_scatter_tensor
    if name == "p2p":
        if rank > 1:
            return lambda: None
        return (lambda: group.send(whole, 1)) if rank == 0 else (lambda: group.recv(whole, 0))
    other = torch.empty_like(whole)
    calls: dict[str, Callable[[], object]] = {
        "all_gather": lambda: gather(whole, part), "reduce_scatter": lambda: scatter(part, whole),
        "all_reduce": lambda: group.all_reduce(whole), "all_to_all": lambda: group.all_to_all_single(other, whole)}
    return calls[name]
