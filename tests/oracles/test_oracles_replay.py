"""The replay against a slow simulator, written apart, that steps every lane token by token."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exafleet.facts.architecture import Arch
from exafleet.service.requests.pace import Pace
from exafleet.service.requests.replay import replay, replay_apart
from exafleet.service.requests.trace import Trace
from exafleet.step.serve_layouts import fixed

PLAIN = Arch(id="plain", name="plain", layers=1, attention_layers=1, mlp_layers=1, hidden=8, heads=1, kv_heads=1,
             head_dim=1, vocab=8, ffn=8, mlp_matrices=2, tied_embeddings=True)


def some_pace(rng, *, capacity=1e9, most=64, chunk=64, knots=(1.0, 1e7), lanes=1, gain=1.0, waits=0.0):
    """Step times that rise with everything, as odd numbers as can be."""
    many = np.arange(most + 1)
    base = 0.01 + 0.001 * rng.random() * many
    decode = np.stack([base + (1e-6 + 1e-5 * rng.random()) * k**0.9 * many for k in knots])
    decode[:, 0] = 0.0
    piece = np.array([1.0, 2.0, chunk / 2, chunk, chunk * 2.0])
    before = np.array([0.0, 16.0, 1e3, 1e6])
    score = 1e-6 * piece[:, None] * (before[None, :] + piece[:, None] / 2) * (1 + rng.random())
    return Pace(arch=PLAIN, kv_dtype="bf16", lanes=lanes, knots=np.array(knots), decode=decode, chunk=chunk,
                linear=np.concatenate([[0.0], 0.005 + 0.0003 * np.arange(1, chunk + 1) * (1 + rng.random())]),
                piece=piece, before=before, score=score, request=0.02, capacity=capacity, unit=4.0,
                layout=fixed(1), gain=gain, waits=waits)


def some_trace(rng, count, gap, longest=60, answer=20):
    arrival = np.cumsum(rng.exponential(gap, count) * (rng.random(count) < 0.8))
    prompt = rng.integers(1, longest, count)
    return Trace(name="made", layout="made", arrival=arrival - arrival[0], input=prompt,
                 output=rng.integers(1, answer, count), hit=(prompt - 1) * (rng.random(count) < 0.3))


class Server:
    """One lane that lives from step to step: a list of running sequences, a list of waiting ones, nothing clever."""

    def __init__(self, pace):
        self.pace, self.waiting, self.running, self.prefilling = pace, [], [], []
        self.until, self.doing = None, None

    def __len__(self):
        completing = len(self.doing[1]) if self.until is not None else 0
        return len(self.waiting) + len(self.running) + len(self.prefilling) + completing

    def begin(self, now):
        """Choose what the step that begins now works on."""
        pace = self.pace
        budget, pieces = pace.chunk, []
        while budget > 0 and (self.prefilling or self.waiting):
            if not self.prefilling:
                new = self.waiting[0]
                held = sum(r["held"] for r in self.running + self.prefilling + [p for p, _ in pieces if p["left"] == 0])
                many = len(self.running) + len([p for p, _ in pieces if p["left"] == 0])
                if held + new["held"] > int(pace.capacity) or many >= pace.most:
                    break
                self.waiting.pop(0)
                if new["left"] == 0:
                    self.running.append(new)
                    continue
                self.prefilling.append(new)
            one = self.prefilling[0]
            size = min(one["left"], budget)
            pieces.append((one, (size, one["input"] - one["left"])))
            one["left"] -= size
            budget -= size
            if one["left"] == 0:
                self.prefilling.pop(0)
        tokens = sum(size for _, (size, _) in pieces)
        if not tokens and not self.running:
            self.until = None
            return
        time = pace.linear[tokens] + sum(float(pace.scores(*piece)) for _, piece in pieces)
        if self.running:
            context = np.mean([r["input"] + 1 + r["said"] * pace.gain for r in self.running])
            time += float(pace.step(len(self.running), context))
        self.doing = (list(self.running), [p for p, _ in pieces if p["left"] == 0])
        self.until = now + time

    def end(self, now):
        """The step is over: tokens are out."""
        decoded, completed = self.doing
        for r in decoded:
            r["said"] += 1
            if r["said"] == r["steps"]:
                r["finish"] = now
                self.running.remove(r)
        for r in completed:
            r["first"] = now
            if r["steps"]:
                self.running.append(r)
            else:
                r["finish"] = now
        if self.running:
            context = np.mean([r["input"] + 1 + r["said"] * self.pace.gain for r in self.running])
            for r in completed:
                r["late"] = self.pace.waits * float(self.pace.step(len(self.running), context))
        self.begin(now)


def simulate(requests, pace, lanes, router):
    """Arrivals and steps in order of time, one by one; an arrival goes before a step that ends at the same time."""
    servers, turn = [Server(pace) for _ in range(lanes)], 0
    pending = list(requests)
    idle = []
    while True:
        busy = [s for s in servers if s.until is not None]
        next_end = min((s.until for s in busy), default=np.inf)
        # A lane that was idle begins once all that arrive at the same time are there.
        if pending and pending[0]["arrival"] <= next_end:
            new = pending.pop(0)
            chosen = servers[turn % lanes] if router == "turn" else min(servers, key=len)
            turn += 1
            chosen.waiting.append(new)
            if chosen.until is None and chosen not in idle:
                idle.append(chosen)
            if pending and pending[0]["arrival"] == new["arrival"]:
                continue
            for server in idle:
                server.begin(new["arrival"])
            idle = []
        elif busy:
            server = min(busy, key=lambda s: s.until)
            server.end(server.until)
        else:
            return


def expected(trace, pace, lanes, router):
    requests = [{"arrival": float(a), "input": int(i), "left": int(f), "steps": math.ceil((o - 1) / pace.gain - 1e-9),
                 "said": 0, "held": int(np.ceil(pace.held(i + o)))}
                for a, i, f, o in zip(trace.arrival, trace.input, trace.fresh, trace.output, strict=True)]
    fits = [r for r in requests if r["held"] <= int(pace.capacity)]
    simulate(fits, pace, lanes, router)
    return requests


def compare(trace, pace, found, requests):
    seen = np.array([r.get("late", 0.0) for r in requests]) - trace.arrival + pace.request
    first = np.array([r.get("first", np.nan) for r in requests]) + seen
    last = np.array([r.get("finish", np.nan) for r in requests]) + seen
    np.testing.assert_allclose(found.ttft, first, rtol=1e-9)
    np.testing.assert_allclose(found.e2e, last, rtol=1e-9)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), lanes=st.integers(1, 4), router=st.sampled_from(["least", "turn"]),
       load=st.floats(0.02, 3.0), chunk=st.sampled_from([16, 64, 100]), bent=st.booleans(),
       gain=st.sampled_from([1.0, 1.0, 1.7, 2.5]), waits=st.sampled_from([0.0, 1.5]))
def test_every_request_is_served_at_the_same_moments(seed, lanes, router, load, chunk, bent, gain, waits):
    rng = np.random.default_rng(seed)
    pace = some_pace(rng, chunk=chunk, knots=(1.0, 17.0, 40.0, 1e7) if bent else (1.0, 1e7), lanes=lanes, gain=gain,
                     waits=waits)
    trace = some_trace(rng, 60, 0.1 / load / lanes)
    compare(trace, pace, replay(trace, pace, router=router), expected(trace, pace, lanes, router))


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), capacity=st.integers(40, 400), most=st.integers(1, 8))
def test_the_same_when_cache_or_batch_is_short(seed, capacity, most):
    rng = np.random.default_rng(seed)
    pace = some_pace(rng, capacity=capacity, most=most)
    trace = some_trace(rng, 50, 0.03)
    found = replay(trace, pace)
    assert (found.refused == (pace.held(trace.input + trace.output) > capacity)).all()
    assert (found.refused == ~found.finished).all()
    assert found.peak <= 1.0
    compare(trace, pace, found, expected(trace, pace, 1, "least"))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), prefills=st.integers(1, 3), decodes=st.integers(1, 3))
def test_the_same_with_prefill_and_decode_apart(seed, prefills, decodes):
    rng = np.random.default_rng(seed)
    ahead, behind = some_pace(rng), some_pace(rng, capacity=300)
    trace, transfer = some_trace(rng, 50, 0.03), 0.01 * rng.random(50)
    found = replay_apart(trace, ahead, behind, prefills=prefills, decodes=decodes, transfer=transfer)
    requests = [{"arrival": float(a), "input": int(i), "left": int(f), "steps": 0, "said": 0, "held": 0}
                for a, i, f in zip(trace.arrival, trace.input, trace.fresh, strict=True)]
    simulate(requests, ahead, prefills, "least")
    later = [{"arrival": r["first"] + d, "input": r["input"], "left": 0, "steps": int(o) - 1, "said": 0,
              "held": int(np.ceil(behind.held(r["input"] + o))), "of": r}
             for r, d, o in zip(requests, transfer, trace.output, strict=True) if o > 1]
    simulate(sorted(later, key=lambda r: r["arrival"]), behind, decodes, "least")
    for r in later:
        r["of"] |= {"first": r["arrival"], "finish": r["finish"]}
    compare(trace, ahead, found, requests)


def test_one_request_alone_takes_its_steps_one_after_the_other():
    pace = some_pace(np.random.default_rng(0))
    trace = Trace(name="one", layout="made", arrival=[0.0], input=[40], output=[5], hit=[0])
    found = replay(trace, pace)
    steps = sum(float(pace.step(1, 40 + j)) for j in range(1, 5))
    first = pace.linear[40] + float(pace.scores(40, 0))
    assert found.ttft[0] == pytest.approx(pace.request + first, rel=1e-12)
    assert found.tpot[0] == pytest.approx(steps / 4, rel=1e-12)
    assert found.busy == pytest.approx(first + steps, rel=1e-12)
    assert found.batch == pytest.approx(steps / found.span, rel=1e-12)
