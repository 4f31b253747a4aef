"""When no plan keeps every rule: which rules are in conflict, and the least that would have to give.

The recourse can always be kept, so a conflict is between rules of the first stage. Each kind of limit is loosened
alone, by as little as makes the first stage feasible; where no single kind suffices, all of them together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.market.market import Floats, Ints
from exafleet.plan.fixed import every_draw
from exafleet.plan.highs import Linear, Solver
from exafleet.plan.twostage import TwoStage
from exafleet.plan.writtenout import solve_written_out
from exafleet.terms.calendar import month_name
from exafleet.terms.errors import NoPlan, Problem
from exafleet.terms.format import money


@dataclass(frozen=True, slots=True, kw_only=True)
class Loosening:
    """One kind of limit, as it may be loosened.

    rule   block of first-stage rows;  sign  +1 loosens the upper, -1 the lower bound
    group  leading axes that share one loosening over all their months; -1: every row has its own
    price  of one solver unit, to weigh kinds against each other when they are loosened together
    """

    rule: str
    sign: float
    group: int
    price: float


LOOSENINGS = (
    Loosening(rule="gang power", sign=1.0, group=2, price=10.0), Loosening(rule="gang", sign=1.0, group=2, price=3.0),
    Loosening(rule="gang rental", sign=1.0, group=2, price=0.1), Loosening(rule="required run", sign=-1.0, group=-1,
                                                                          price=10.0),
    Loosening(rule="budget", sign=1.0, group=1, price=1.0), Loosening(rule="supply", sign=1.0, group=1, price=1.0),
    Loosening(rule="offer total", sign=1.0, group=1, price=1.0), Loosening(rule="queue", sign=1.0, group=1, price=1.0),
    Loosening(rule="allocation", sign=1.0, group=1, price=0.1),
    Loosening(rule="allocation share", sign=1.0, group=2, price=0.1),
    Loosening(rule="order least", sign=-1.0, group=-1, price=1.0),
    Loosening(rule="finance", sign=1.0, group=1, price=1.0),
)
# Up to this many columns, all draws counted, the loosened plan is solved to say what it costs.
PRICED_COLUMNS = 3_000


def no_plan(p: TwoStage) -> NoPlan:
    """The error to raise for an infeasible first stage, with its nearest relaxations."""
    alone = [(kind, text) for kind in LOOSENINGS if (text := _loosen(p, (kind,)))]
    texts = [text for _, text in alone] or _together(p)
    rules = [kind.rule for kind, _ in alone] or ["the rules of the scenario"]
    return NoPlan([*_required(p), *_banned(p), Problem(what=f"no plan keeps every rule: {', '.join(rules)}",
                                                       remedy=_remedy(texts))], texts)


def _together(p: TwoStage) -> list[str]:
    text = _loosen(p, LOOSENINGS)
    return [text] if text else []


def _remedy(texts: list[str]) -> str:
    return f"Nearest relaxations: {', or '.join(texts)}." if texts else "Loosen what is required of the plan."


def _required(p: TwoStage) -> list[Problem]:
    """One line for each run that must be done in time."""
    market = p.build.market
    return [Problem(where=job.where, what=f"{job.id} is required by the end of {month_name(job.due)}")
            for job in market.scenario.jobs if isinstance(job, TrainJob) and job.required]


def _banned(p: TwoStage) -> list[Problem]:
    """One line for each ban that may stand in the way: what a ban forbids is no decision, so it cannot be loosened."""
    start, months = p.build.market.start, p.build.market.months
    done = {"order": "ordered", "arrival": "delivered", "install": "installed"}
    return [Problem(where=rule.where, what=f"{rule.id}: {', '.join((*rule.systems, *rule.suppliers)) or 'anything'} "
                    f"may not be {done[rule.stage]} from {month_name(rule.first)}"
                    + (f" to {month_name(rule.last)}" if rule.last is not None else " on"))
            for rule in p.build.market.scenario.rules if rule.kind == "ban" and rule.first < start + months
            and (rule.last is None or rule.last >= start)]


def _loosen(p: TwoStage, kinds: tuple[Loosening, ...]) -> str:
    """Least loosenings of these kinds that make the first stage feasible, and what it costs then; or nothing."""
    from scipy.sparse import csr_matrix, hstack

    blocks = p.build.first_rows.blocks()
    row, column, price, owners = _slacks(blocks, [kind for kind in kinds if kind.rule in blocks])
    if not len(price):
        return ""
    sign = np.array([kind.sign for kind, _ in owners])
    slack = csr_matrix((-sign[column], (row, column)), shape=(p.first.shape[0], len(price)))
    x = len(p.x_lower)
    upper = np.concatenate([np.where(p.whole & (p.x_upper > 1), np.inf, p.x_upper), np.full(len(price), np.inf)])
    found = Solver(Linear(
        rows=hstack([p.first, slack], format="csr"), lower=p.first_lower, upper=p.first_upper,
        v_lower=np.append(p.x_lower, np.zeros(len(price))), v_upper=upper,
        cost=np.append(np.zeros(x), price), whole=np.append(p.whole, np.zeros(len(price), dtype=bool))),
        mip_rel_gap=1e-3).solve()
    if not len(found.v):
        return ""
    used = found.v[x:]
    activity = p.first @ found.v[:x]
    move = np.bincount(row, weights=sign[column] * used[column], minlength=p.first.shape[0]).astype(np.float64)
    return " and ".join(_words(p, used, owners, activity)) + _costs(p, move, found.v[:x])


def _costed(p: TwoStage, x: Floats) -> Floats:
    """Cost of every draw at decisions x. [N]"""
    y = every_draw(p, x, np.arange(p.draws))
    return np.array([p.spent(n, x, y[n]).sum() / p.build.money for n in range(p.draws)])


def _costs(p: TwoStage, move: Floats, x: Floats) -> str:
    """What the plan costs with its limits so much looser: solved where that is quick, else at most what x costs."""
    loose = replace(p, first_upper=p.first_upper + np.maximum(move, 0.0),
                    first_lower=p.first_lower + np.minimum(move, 0.0), x_upper=np.maximum(p.x_upper, np.ceil(x - 1e-6)))
    small = len(p.x_lower) + p.draws * len(p.y_lower) <= PRICED_COLUMNS
    answer = solve_written_out(loose, 0.01) if small else None
    if answer is not None and len(answer.x):
        return f" (the plan then costs {money(answer.value * p.build.money)})"
    try:
        at_most = p.risk(_costed(loose, np.clip(x, loose.x_lower, loose.x_upper)))
    except RuntimeError:  # what is no more than feasible for the first stage need not be so for a rule of one's own
        return ""
    return f" (a plan then costs at most {money(at_most * p.build.money)})"


def _slacks(blocks: dict[str, Ints], kinds: list[Loosening]) -> tuple[Ints, Ints, Floats, list[tuple[Loosening, Ints]]]:
    """Rows and columns of the loosening entries, the price of each loosening, and its (kind, rows)."""
    rows, columns, price = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], []
    owners: list[tuple[Loosening, Ints]] = []
    for kind in kinds:
        block = blocks[kind.rule]
        if not block.size:
            continue
        flat = block.reshape(-1, 1) if kind.group < 0 else block.reshape(int(np.prod(block.shape[:kind.group])), -1)
        for members in flat:
            there = members[members >= 0]
            if len(there):
                rows.append(there)
                columns.append(np.full(len(there), len(owners)))
                owners.append((kind, there))
                price.append(kind.price)
    return np.concatenate(rows), np.concatenate(columns), np.array(price), owners


def _words(p: TwoStage, used: Floats, owners: list[tuple[Loosening, Ints]], activity: Floats) -> list[str]:
    """What is loosened and by how much, one text for each limit, one for each run that ends later."""
    texts: list[str] = []
    late: dict[int, float] = {}
    for i in np.flatnonzero(used > 1e-6):
        kind, rows = owners[i]
        bound = p.first_upper[rows] if kind.sign > 0 else p.first_lower[rows]
        broken = rows[kind.sign * (activity[rows] - bound) > 1e-7]
        first = int(broken[0]) if len(broken) else int(rows[0])
        at = tuple(int(a[0]) for a in np.nonzero(p.build.first_rows[kind.rule] == first))
        if kind.rule == "required run":
            late[at[0]] = late.get(at[0], 0.0) + float(used[i])
        else:
            texts.append(_word(p, kind.rule, at, float(used[i])))
    jobs = p.build.market.scenario.jobs
    texts += [f"{jobs[j].id} due {int(np.ceil(months - 1e-6))} months later" for j, months in late.items()]
    return texts


def _word(p: TwoStage, rule: str, at: tuple[int, ...], amount: float) -> str:
    market, scenario = p.build.market, p.build.market.scenario
    when = month_name(market.start + at[-1]) if rule not in ("offer total", "queue", "order least", "finance") else ""
    whole = np.ceil(amount - 1e-6)
    if rule in ("allocation", "allocation share"):
        who = f" for {scenario.owners[at[1]].id}" if rule == "allocation share" else ""
        return f"+{whole:g} accelerators a month of {scenario.allocations[at[0]].id}{who} in {when}"
    if rule == "queue":
        return f"+{whole:g} places in the queue of {scenario.offers[at[0]].id}"
    if rule == "order least":
        return f"an order of {whole:g} units fewer than the least of {scenario.offers[p.build.sizes.offer[at[0]]].id}"
    if rule == "finance":
        return f"+{_round_up(amount * p.build.money / 1e6):g} MUSD of {scenario.finance[at[0]].id}"
    if rule == "gang power":
        return f"+{_round_up(amount):g} MW at {scenario.sites[at[1]].id} in {when}"
    if rule == "gang":
        return f"+{whole:g} units of {market.systems[at[1]]} for {scenario.jobs[at[0]].id} by {when}"
    if rule == "gang rental":
        return f"+{whole:g} chips of {scenario.rentals[at[1]].id} in {when}"
    if rule == "budget":
        return f"+{_round_up(amount * p.build.money / 1e6):g} MUSD for {scenario.owners[at[0]].id} in {when}"
    if rule == "supply":
        return f"+{whole:g} units a month of {scenario.offers[at[0]].id} in {when}"
    return f"+{whole:g} units of {scenario.offers[at[0]].id} in all"


def _round_up(amount: float) -> float:
    """To three digits, upwards: a relaxation must be enough."""
    digits = 10.0 ** (np.floor(np.log10(max(amount, 1e-12))) - 2)
    return float(np.ceil(amount / digits - 1e-6) * digits)


