"""How late things come, how prices move: fitted to the facts known on a day, by functions that read nothing newer.

    fit = schedule(load_facts(date(2024, 12, 19)))["rack"]
    fit.quantile(0.9)          90 % of racks take at most so many times what was announced

A schedule is judged by a ratio: the time from the announcement to deliveries in volume over the time that was
announced. Its log is normal. Rows are few, so the levels (chip, rack, site) are pooled partially: each level's mean is
drawn to the mean of all, and that to a weak prior, in proportion to how many rows there are. What has not come yet
counts as later than the day it was last seen missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.market.market import Floats
from exafleet.terms.calendar import Month

LEVELS = ("chip", "rack", "site")
# The weak prior, an assumption: projects take a tenth longer than announced in the middle, give or take a half.
PRIOR_MEAN, PRIOR_WEIGHT, PRIOR_SIGMA, PRIOR_ROWS = 0.1, 1.0, 0.45, 2.0
POOLED = 3.0      # rows a level needs of its own to count as much as all the others
WEAK = frozenset({"rumour"})   # statements of this kind are no announcements of a chip or rack


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """One announcement and what came of it. `ratio` is a lower bound where it has not come."""

    level: str
    name: str
    announced: date
    due: float
    ratio: float
    come: bool
    known: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """ln ratio ~ N(mean, sigma^2); standard errors of both; rows of this level and of all."""

    mean: float
    sigma: float
    mean_error: float
    sigma_error: float
    rows: int
    rows_of_all: int

    def quantile(self, share: float) -> float:
        """The ratio that this share of announcements stays within."""
        from scipy.special import ndtri

        return math.exp(self.mean + self.sigma * float(ndtri(share)))


def slips(facts: Facts) -> tuple[Slip, ...]:
    """Every announcement known to these facts that has come, or was seen missing after it was due."""
    return tuple(sorted((*_shipped(facts), *_powered(facts)), key=lambda s: (s.level, s.name, s.announced)))


def _shipped(facts: Facts) -> Iterator[Slip]:
    for subject, term in facts.table:
        if term == "ship_expected" and facts.subjects.by_id[subject].kind != "practice":
            first = _first(facts.find(subject, term).values())
            come = facts.try_get(f"{subject}.volume_ship")
            if first is not None and come is not None:
                level = "rack" if facts.subjects.by_id[subject].kind == "system" else "chip"
                yield _slip(level, subject, first, come, True)


def _first(stated: Iterable[Fact]) -> Fact | None:
    """The first announcement: later statements tell how late it already is. A rumour announces nothing."""
    known = sorted((f for f in stated if f.kind not in WEAK), key=lambda f: (f.as_of, f.at))
    return known[0] if known else None


def _powered(facts: Facts) -> Iterator[Slip]:
    for subject, term in facts.table:
        if term == "power_expected":
            for at, stated in facts.find(subject, term).items():
                if stated.kind in WEAK:
                    continue
                phase = at.split(":")[0]
                come = facts.try_get(f"{subject}.power_on@{phase}")
                missing = facts.try_get(f"{subject}.power_missing@{phase}")
                if come is not None:
                    yield _slip("site", f"{subject} {phase}", stated, come, True)
                elif missing is not None:
                    yield _slip("site", f"{subject} {phase}", stated, missing, False)


def _slip(level: str, name: str, stated: Fact, seen: Fact, come: bool) -> Slip:
    made = _day(stated.at)
    ratio = (seen.value - made.toordinal()) / max(stated.value - made.toordinal(), 30.0)
    return Slip(level=level, name=name, announced=made, due=stated.value, ratio=max(ratio, 0.05), come=come,
                known=max(stated.as_of, seen.as_of))


def _day(at: str) -> date:
    """The middle of the month a statement was made in: "2024-03" or "100k:2024-05"."""
    year, month = at.split(":")[-1].split("-")[:2]
    return date(int(year), int(month), 15)


def schedule(facts: Facts) -> dict[str, Fit]:
    """The fit of each level from what these facts know."""
    known = slips(facts)
    overall = _fit(known, PRIOR_MEAN, PRIOR_WEIGHT)
    found = {}
    for level in LEVELS:
        own = tuple(s for s in known if s.level == level)
        mean, error = _mean(own, overall.sigma, overall.mean, POOLED)
        squares = sum((math.log(s.ratio) - mean) ** 2 for s in own if s.come)
        count = sum(s.come for s in own)
        sigma = math.sqrt((POOLED * overall.sigma**2 + squares) / (POOLED + count))
        found[level] = Fit(mean=mean, sigma=sigma, mean_error=error, sigma_error=sigma / math.sqrt(
            2 * (POOLED + PRIOR_ROWS + count)), rows=len(own), rows_of_all=len(known))
    return found


def _fit(rows: tuple[Slip, ...], prior: float, weight: float) -> Fit:
    """Most likely mean and sigma of all rows with their prior, censored rows included; errors from the curvature."""
    from scipy.optimize import minimize

    def cost(v: Floats) -> float:
        return _unlikely(rows, float(v[0]), math.exp(float(v[1])), prior, weight) + 0.5 * PRIOR_ROWS * (
            float(v[1]) - math.log(PRIOR_SIGMA)) ** 2

    start = np.array([prior, math.log(PRIOR_SIGMA)])
    found = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000})
    errors = _errors(cost, np.asarray(found.x))
    sigma = math.exp(float(found.x[1]))
    return Fit(mean=float(found.x[0]), sigma=sigma, mean_error=float(errors[0]), sigma_error=sigma * float(errors[1]),
               rows=len(rows), rows_of_all=len(rows))


def _unlikely(rows: tuple[Slip, ...], mean: float, sigma: float, prior: float, weight: float) -> float:
    """Minus the log of the likelihood of rows, and of the mean under its prior."""
    from scipy.special import log_ndtr

    total = 0.5 * weight * ((mean - prior) / sigma) ** 2
    for s in rows:
        z = (math.log(s.ratio) - mean) / sigma
        total += 0.5 * z * z + math.log(sigma) if s.come else -float(log_ndtr(-z))
    return total


def _errors(cost: Callable[[Floats], float], at: Floats) -> Floats:
    """Standard errors from the curvature of the cost, by central differences."""
    step, n = 1e-3, len(at)
    curve = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            a, b = np.eye(n)[i] * step, np.eye(n)[j] * step
            curve[i, j] = (cost(at + a + b) - cost(at + a - b) - cost(at - a + b) + cost(at - a - b)) / (
                4 * step * step)
    return np.asarray(np.sqrt(np.maximum(np.diag(np.linalg.pinv(curve)), 0.0)))


def _mean(rows: tuple[Slip, ...], sigma: float, prior: float, weight: float) -> tuple[float, float]:
    """Mean of a level at a known sigma, drawn to the mean of all; with its standard error."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda m: _unlikely(rows, m, sigma, prior, weight), bounds=(prior - 3, prior + 3),
                            method="bounded", options={"xatol": 1e-7})
    return float(found.x), sigma / math.sqrt(weight + sum(s.come for s in rows))


def coverage(before: Facts, after: Facts) -> list[tuple[Slip, float, float]]:
    """Slips whose outcome `before` did not know and `after` does, with the 80 % interval said before."""
    fits, known = schedule(before), {(s.name, s.announced) for s in slips(before)}
    return [(s, fits[s.level].quantile(0.1), fits[s.level].quantile(0.9)) for s in slips(after)
            if (s.name, s.announced) not in known and s.come]


# ---------------------------------------------------------------------------------------------------------- prices
@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Yearly volatility of the log of a price and its standard error; yearly drift; share in common; rows used."""

    volatility: float
    error: float
    drift: float
    common: float
    rows: int


SPAN = 3         # months over which rental prices are compared: single months are noisy medians of rate cards
FEW = 4          # differences below which nothing is fitted
LEAST_PRICE = 0.05   # yearly; below it the quotes tell sellers apart, not months
# What is taken where there are no prices to fit, an assumption: yearly average prices of H100, A100 and GB200 moved by
# 6 to 28 % from one year to the next.
ASSUMED_RENT, ASSUMED_PRICE = Moves(volatility=0.3, error=0.15, drift=0.0, common=0.5, rows=0), Moves(
    volatility=0.15, error=0.1, drift=0.0, common=0.5, rows=0)


def rent_moves(facts: Facts) -> Moves:
    """From the index of on-demand rents by chip and month: differences over a quarter, scaled to a year."""
    series = {s: {m: math.log(f.value) for m, f in facts.monthly(s, "rent_index", "on-demand").items()}
              for s, term in sorted(facts.table) if term == "rent_index"}
    changes = {s: _changes(known) for s, known in series.items()}
    every = np.array([c for by_month in changes.values() for c in by_month.values()])
    if len(every) < FEW:
        return ASSUMED_RENT
    scale = math.sqrt(12.0 / SPAN)
    independent = max(len(every) / SPAN, 1.0)  # differences over a quarter overlap
    volatility = float(np.sqrt((every**2).mean())) * scale
    return Moves(volatility=volatility, error=volatility / math.sqrt(2 * independent), rows=len(every),
                 drift=float(every.mean()) * 12 / SPAN, common=_common(changes))


def _changes(known: Mapping[Month, float]) -> dict[Month, float]:
    return {m: known[m] - known[m - SPAN] for m in known if m - SPAN in known}


def _common(changes: Mapping[str, Mapping[Month, float]]) -> float:
    """Mean correlation of two chips' changes over the months they share; one half where none share enough."""
    names, found = sorted(changes), []
    for i, one in enumerate(names):
        for other in names[i + 1:]:
            months = sorted(set(changes[one]) & set(changes[other]))
            if len(months) >= 2 * FEW:
                a, b = ([changes[n][m] for m in months] for n in (one, other))
                found.append(float(np.corrcoef(a, b)[0, 1]))
    return float(np.clip(np.mean(found), 0.0, 0.95)) if found else 0.5


def price_moves(facts: Facts) -> Moves:
    """From quotes of one system in different months: squared change = what sellers differ by + volatility^2 x time.

    Both parts are fitted and not negative; without rows enough, or where sellers explain all, what is assumed.
    """
    from scipy.optimize import nnls

    squares, years, moved = [], [], []
    for subject, term in sorted(facts.table):
        if term == "unit_price":
            known = [(m, math.log(f.value)) for m, f in facts.monthly(subject, term).items()]
            for (m0, p0), (m1, p1) in pairwise(known):
                squares.append((p1 - p0) ** 2)
                years.append((m1 - m0) / 12.0)
                moved.append(p1 - p0)
    if len(squares) < 2 * FEW:
        return ASSUMED_PRICE
    (_, variance), _ = nnls(np.column_stack([np.full(len(years), 2.0), years]), np.array(squares))
    volatility = math.sqrt(variance)
    if volatility < LEAST_PRICE:
        return ASSUMED_PRICE
    return Moves(volatility=volatility, error=volatility / math.sqrt(2 * len(squares)), common=0.5, rows=len(squares),
                 drift=sum(moved) / sum(years))


def failure_spread(facts: Facts) -> tuple[float, int]:
    """Standard deviation of the log of failure rates between clusters, and how many; from one published rate each."""
    rates = [f.value for at, f in facts.find("node-8", "node_failure_rate").items()
             if at and at != "early" and f.kind in ("published", "measured")]
    if len(rates) < FEW:
        return 0.5, 0
    return float(np.std(np.log(rates), ddof=1)), len(rates)
