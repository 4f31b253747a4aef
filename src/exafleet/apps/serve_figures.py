"""Figures of the best deployment as flat data in base units, and the reason where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exafleet.apps.serve_cost import Price, cost_figures, drawn, energy_figures, power_figures

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.hardware import System
    from exafleet.service.apart.search_apart import ApartResult
    from exafleet.service.deploy import Deployment
    from exafleet.service.search import ServeResult
    from exafleet.step.serve import ServeTask
    from exafleet.step.serve_layouts import ServeLimits
    from exafleet.terms.parts import Parts


def serve_figures(task: ServeTask, system: System, gpus: int | None, facts: Facts, *, rate: float | None = None,
                  kinds: tuple[str, ...] = ("aggregated",), limits: ServeLimits | None = None,
                  price: Price | None = None) -> dict[str, Any]:
    """Flat figures of the best deployment, in base units; raises NothingFits, MissingFact.

    gpus    size of the pool
    rate    demand in output tokens per second, for which the fewest accelerators are found     [token/s]
    kinds   of deployment to look at: "aggregated", "disaggregated"
    limits  ranges of the axes
    price   of one accelerator

    Without a size and a demand the pool is the fewest whole units (doubling) that serve the model.
    """
    from exafleet.apps.serve_found import found_by
    from exafleet.apps.serve_refused import nothing_serves

    found = found_by(task, system, gpus, facts, rate=rate, kinds=kinds, limits=limits)
    if not found.best:
        raise nothing_serves(found, system, facts, gpus, rate, kinds, limits)
    return _figures(found, system, facts, rate, price)


def _figures(found: Deployment, system: System, facts: Facts, rate: float | None,
             price: Price | None) -> dict[str, Any]:
    import math

    best, task = found.answer, found.task
    token, first = best.token, best.first
    assert token is not None
    assert first is not None
    carried = best.rate if rate is None else rate
    power = drawn(best, system, facts, rate)
    bands = figure_bands(found, facts)
    return {
        "model": task.arch.id,
        "system": system.id,
        "kind": found.best,
        "gpus": best.chips,
        "units": math.ceil(best.chips / system.chips),
        "dtype": task.dtype,
        "kv_dtype": task.kv_dtype,
        "weight_dtype": task.weights,
        "input_tokens": task.input_tokens,
        "output_tokens": task.output_tokens,
        "prefix_hit": task.prefix_hit,
        "draft": task.draft,
        "accept": task.accept,
        "ttft_target": task.ttft,
        "tpot_target": task.tpot,
        **_deployment(best),
        "demand": rate,
        **_banded("tokens_per_s", best.rate, bands["output_tok_s_per_gpu"]),
        "tokens_per_s_per_gpu": best.rate_per_chip,
        "tokens_per_s_per_user": 1.0 / best.tpot,
        "requests_per_s": best.rate / task.output_tokens,
        **_banded("ttft", best.ttft, bands["ttft_ms"]),
        **_banded("tpot", best.tpot, bands["tpot_ms"]),
        "token_parts": token.as_dict(),
        "first_parts": first.as_dict(),
        "memory_of_chip": system.chip.hbm_bytes,
        **power_figures(power),
        "joules_per_token": energy_figures(best, power),
        "cost": cost_figures(best, carried, price),
        "candidates": sum(r.candidates for r in found.found.values()),
        "why": _reasons(found),
        "kinds": [_kind(kind, r) for kind, r in found.found.items()],
        "front": _front(found),
    }


def figure_bands(found: Deployment, facts: Facts) -> dict[str, tuple[float, float]]:
    """80 % band of each figure, as factors of it: what published runs of this kind gave, else that of the operators.

    found   what `deploy` answered
    """
    best = found.answer
    spread = best.high / best.rate
    known = facts.find("serving-engine", "serving_band")
    service, kind = "apart" if found.best == "disaggregated" else "loop", found.task.arch.kind
    bands = {}
    for metric in ("tpot_ms", "ttft_ms", "output_tok_s_per_gpu"):
        names = (f"{metric}/{service}/{kind}", f"{metric}/{service}", metric)
        fact = next((known[at] for at in names if at in known), None)
        bands[metric] = (1.0 / spread, spread) if fact is None else (fact.low, fact.high)
    return bands


def _banded(name: str, value: float, band: tuple[float, float]) -> dict[str, float]:
    return {name: value, f"{name}_low": value * band[0], f"{name}_high": value * band[1]}


def _deployment(best: ServeResult | ApartResult) -> dict[str, Any]:
    """Layout, replicas and memory: of the replicas, or of each side where they are apart."""
    from exafleet.service.apart.search_apart import ApartResult

    if isinstance(best, ApartResult):
        return _sides(best)
    layout = best.layout
    assert layout is not None
    return {"layout": layout.words, "replicas": layout.replicas, "replica_gpus": layout.replica,
            "concurrency": layout.concurrency, **_memory(best.memory)}


def _sides(best: ApartResult) -> dict[str, Any]:
    layout = best.layout
    assert layout is not None
    return {
        "layout": layout.words,
        "prefill": {"layout": layout.prefill, "replicas": layout.prefill_count, "replica_gpus": layout.prefill_chips,
                    "busy": best.busy, "system": best.systems[0], **_memory(best.prefill_memory)},
        "decode": {"layout": layout.decode, "replicas": layout.decode_count, "replica_gpus": layout.decode_chips,
                   "concurrency": layout.concurrency, "system": best.systems[1], **_memory(best.decode_memory)},
    }


def _memory(parts: Parts | None) -> dict[str, Any]:
    assert parts is not None
    return {"memory": float(parts.total), "memory_parts": parts.as_dict()}


def _reasons(found: Deployment) -> dict[str, int]:
    """Candidates of all kinds by reason."""
    counted: dict[str, int] = {}
    for result in found.found.values():
        for why, n in result.reasons.items():
            counted[why.name] = counted.get(why.name, 0) + n
    return counted


def _kind(kind: str, result: ServeResult | ApartResult) -> dict[str, Any]:
    """One kind of deployment in a line."""
    from exafleet.terms.why import Why

    runs = result.why is Why.OK
    return {"kind": kind, "why": result.why.name, "layout": result.layout.words if result.layout and runs else None,
            "gpus": result.chips if runs else None, "tokens_per_s": result.rate if runs else None,
            "tokens_per_s_per_gpu": result.rate_per_chip if runs else None,
            "ttft": result.ttft if runs else None, "tpot": result.tpot if runs else None}


def _front(found: Deployment) -> list[dict[str, Any]]:
    """Throughput against speed per user, most throughput first."""
    front = found.front
    if front is None:
        return []
    return [{"kind": front.kind[i], "layout": front.words[i], "tokens_per_s_per_gpu": float(front.rate[i]),
             "tokens_per_s_per_user": float(front.speed[i]), "ttft": float(front.ttft[i])}
            for i in range(len(front.words))]
