"""`exafleet serve`: the best deployment of a model within a latency target, or the smallest one for a demand."""

from __future__ import annotations

from exafleet.apps.options import AsOf, Dtype, Form, Format, Model, Own
from exafleet.apps.serve_figures import serve_figures
from exafleet.apps.serve_options import (
    Accept,
    CacheBlocks,
    Concurrency,
    Draft,
    Engine,
    EngineName,
    ExpertWays,
    FirstToken,
    Gpus,
    Groups,
    InputTokens,
    KvDtype,
    Mode,
    ModeName,
    OutputTokens,
    PerToken,
    PrefixHit,
    PriceWords,
    Products,
    Rate,
    Replicas,
    Router,
    Speed,
    Stages,
    TensorWays,
    TraceFile,
    WeightDtype,
    serve_task,
)
from exafleet.apps.train import SystemName

__all__ = ["FirstToken", "InputTokens", "KvDtype", "OutputTokens", "PerToken", "serve", "serve_figures", "serve_task"]


def serve(
    model: Model,
    system: SystemName,
    gpus: Gpus = None,
    rate: Rate = None,
    input_tokens: InputTokens = 1024,
    output_tokens: OutputTokens = 1024,
    ttft: FirstToken = "2 s",
    tpot: PerToken = "50 ms",
    dtype: Products = Dtype.bf16,
    kv_dtype: KvDtype = Dtype.bf16,
    weight_dtype: WeightDtype = None,
    prefix_hit: PrefixHit = 0.0,
    draft: Draft = 0,
    accept: Accept = None,
    engine: Engine = None,
    mode: ModeName = Mode.both,
    price: PriceWords = None,
    tp: TensorWays = None,
    pp: Stages = None,
    dp: Groups = None,
    ep: ExpertWays = None,
    concurrency: Concurrency = None,
    trace: TraceFile = None,
    replicas: Replicas = None,
    router: Router = "least",
    speed: Speed = 1.0,
    cache_blocks: CacheBlocks = None,
    as_of: AsOf = None,
    own: Own = None,
    form: Form = Format.table,
) -> None:
    """Find the best deployment within a latency target: replicas that do all, or prefill and decode apart.

    Throughput, latency, memory, watts and cost with an 80 % band, and the curve of throughput against speed. With
    --rate, the fewest accelerators that carry a demand. When nothing meets the target the exit code is 3, and the
    nearest questions that have an answer are named.

    \b
    Examples:
      exafleet serve llama-3-70b --system hgx-h100
      exafleet serve deepseek-v3 --system gb200-nvl72 --gpus 64 --isl 4000 --osl 1000 --tpot "20 ms" --dtype fp8
      exafleet serve llama-3-70b --system hgx-h200 --rate "12 requests/s" --mode aggregated --price "2.50 USD/h"
    """
    from exafleet.apps.inputs import arch_of, facts_as_of
    from exafleet.apps.output import show
    from exafleet.apps.serve_options import named_layout, read
    from exafleet.apps.serve_report import serve_report
    from exafleet.facts.hardware import system as system_of

    beside = engine is EngineName.aiconfigurator
    if beside:
        from exafleet.apps.serve_bridge import installed, with_beside

        installed()
    facts = facts_as_of(as_of, own)
    words = {"gpus": gpus, "rate": rate, "isl": input_tokens, "osl": output_tokens, "ttft": ttft, "tpot": tpot,
             "dtype": dtype.value, "kv_dtype": kv_dtype.value, "mode": mode, "prefix_hit": prefix_hit,
             "weight_dtype": weight_dtype.value if weight_dtype else "",
             "engine": engine.value if engine and not beside else "", "draft": draft, "accept": accept, "price": price,
             "tp": tp, "pp": pp, "dp": dp, "ep": ep, "concurrency": concurrency}
    arch, machine = arch_of(facts, model), system_of(facts, system)
    if trace is not None:
        from exafleet.apps.serve_trace import trace_figures, trace_report

        words |= {"mode": Mode.aggregated}
        layout = named_layout(words)
        asked = read(facts, arch, machine, words)
        told = trace_figures(asked.task, machine, facts, trace, gpus=gpus, layout=layout, replicas=replicas,
                             router=router, speed=speed, cache_blocks=cache_blocks)
        show(trace_report(data := {"as_of": facts.as_of.isoformat(), **told}, facts.told), form, data)
        return
    asked = read(facts, arch, machine, words)
    figures = serve_figures(asked.task, asked.system, asked.gpus, facts, rate=asked.rate, kinds=asked.kinds,
                            limits=asked.limits, price=asked.price)
    data = {"as_of": facts.as_of.isoformat(), **figures}
    report = serve_report(asked.task.arch.name, data, facts.told)
    if beside:
        report, data = with_beside(report, data, asked.task, asked.system)
    show(report, form, data)
