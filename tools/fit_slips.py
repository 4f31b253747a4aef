"""Fits how late things come and how prices move, as known at the end of each quarter: data/uncertainty.csv.

    python tools/fit_slips.py [--report]      --report prints the fits and how later slips fell, and writes nothing

Each row is fitted by market/slips.py to the facts that were known on its day, and none later. Assumptions stand in the
same table, are told as such in their note, and are kept as they are.
"""

from __future__ import annotations

import csv
import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.market.slips import LEVELS, Moves, coverage, failure_spread, price_moves, rent_moves, schedule, slips
from exafleet.terms.units import DATA

TABLE = DATA / "uncertainty.csv"
WRITTEN = "tools/fit_slips.py"
DAYS = [date(y, m, d) for y in range(2022, 2027) for m, d in ((3, 31), (6, 30), (9, 30), (12, 31))
        if date(2022, 12, 31) <= date(y, m, d) <= date(2026, 9, 30)]


def fitted(facts: Facts, day: date) -> list[list[str]]:
    """Rows of one day."""
    at, found = f"{day:%Y-%m}", []
    for level in LEVELS:
        fit = schedule(facts)[level]
        found.append(_row(f"deliveries-{level}", "schedule_ratio", at, day, fit.quantile(0.5),
                          (fit.quantile(0.1), fit.quantile(0.9)),
                          f"ln mean {fit.mean:.2f} +- {fit.mean_error:.2f}, sigma {fit.sigma:.2f} +- "
                          f"{fit.sigma_error:.2f}; {fit.rows} rows of {fit.rows_of_all}, partially pooled"))
    rent, price, (spread, clusters) = rent_moves(facts), price_moves(facts), failure_spread(facts)
    found.append(_row("gpu-market", "rent_volatility", at, day, rent.volatility, _band(rent), _said(rent)))
    found.append(_row("gpu-market", "rent_common", at, day, rent.common, (0.0, 0.95), _said(rent)))
    found.append(_row("gpu-market", "price_volatility", at, day, price.volatility, _band(price), _said(price)))
    found.append(_row("gpu-market", "failure_spread", at, day, spread, (spread / 2, spread * 1.5),
                      f"{clusters} published clusters" if clusters else "assumption: too few clusters are known"))
    return found


def _band(moves: Moves) -> tuple[float, float]:
    return max(moves.volatility - 1.28 * moves.error, 0.0), moves.volatility + 1.28 * moves.error


def _said(moves: Moves) -> str:
    if not moves.rows:
        return "assumption: too few prices are known, or sellers differ by more than time moves them"
    return f"+- {moves.error:.2g}, drift {moves.drift:+.2f} a year (told, not used); {moves.rows} changes"


def _row(subject: str, term: str, at: str, day: date, value: float, band: tuple[float, float], note: str) -> list[str]:
    low, high = (f"{v:.3g}" for v in (min(band[0], value), max(band[1], value)))
    return [subject, term, at, f"{value:.3g}", low, high, "1", "estimate", "exafleet", WRITTEN, day.isoformat(), note]


def judged() -> list[str]:
    """For each quarter: of the slips that only came to light later, how many lay in the 80 % interval said then."""
    last, lines = load_facts(DAYS[-1]), []
    for day in DAYS:
        rows = coverage(load_facts(day), last)
        inside = sum(low <= s.ratio <= high for s, low, high in rows)
        lines.append(f"{day}: {inside} of {len(rows)} later slips inside")
    return lines


def main() -> None:
    """Print, or write the table."""
    if "--report" in sys.argv[1:]:
        last = load_facts(DAYS[-1])
        print(*(f"{s.level:5} {s.name:28} announced {s.announced} {'' if s.come else '>= '}{s.ratio:.2f}"
                for s in slips(last)), sep="\n")
        print(*judged(), sep="\n")
        print(*(" ".join(row) for row in fitted(last, DAYS[-1])), sep="\n")
        return
    with TABLE.open(encoding="utf-8", newline="") as file:
        header, *table = csv.reader(file)
    kept = [row for row in table if row[header.index("where")] != WRITTEN]
    rows = [row for day in DAYS for row in fitted(load_facts(day), day)]
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *kept, *rows])


if __name__ == "__main__":
    main()
