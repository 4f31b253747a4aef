"""What arrives, where it goes, who uses it; and power against its limit. All of the base draw."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from exafleet.plan.plan import Plan
from exafleet.report import charts
from exafleet.report.table import Cell, Table, column, month_names
from exafleet.terms.calendar import month_name
from exafleet.terms.said import joined, said

# (month, system, chips) that stand somewhere
Standing = tuple[str, str, float]


def placements_by_month(plan: Plan) -> Table:
    """Units that arrive and units standing, by holder, in the months in which something changes."""
    market = plan.market
    sites, owners = market.scenario.sites, market.scenario.owners
    rows: list[tuple[Cell, ...]] = []
    standing: list[Standing] = []
    for h in range(len(plan.holder_owner)):
        k = int(plan.holder_system[h])
        owner, site = owners[int(plan.holder_owner[h])].id, sites[int(plan.holder_site[h])].id
        before = float(market.holdings[plan.holder_owner[h], plan.holder_site[h], k])
        for t in range(market.months):
            now = float(plan.installed[0, h, t])
            if now > 0.5:
                standing.append((month_name(market.start + t), market.systems[k], now * float(market.chips[k])))
            if abs(now - before) >= 0.5:
                rows.append((market.start + t, owner, site, market.systems[k], now - before, now,
                             now * float(market.chips[k]), _users(plan, h, t)))
            before = now
    last = month_name(market.start + market.months - 1)
    total = sum(chips for month, _, chips in standing if month == last)
    ranked = sorted(rows, key=lambda r: (int(r[0] or 0), str(r[1]), str(r[2]), str(r[3])))
    return Table(
        id="fleet", title=said("fleet.title"), how=said("fleet.how"),
        lead=said("fleet.lead", chips=total), empty=said("fleet.empty"),
        columns=(column("month", "month"), column("owner"), column("site"), column("system"),
                 column("change", "count"), column("units", "count"), column("chips", "count"), column("used by")),
        rows=tuple(ranked),
        origins=tuple((f"sites.{r[2]}.install_rate", f"sites.{r[2]}.power", f"{r[3]}.chips", f"{r[3]}.power_max")
                      for r in ranked),
        charts=(("", charts.bars(_merged(standing), month_names(plan), "chips", said("fleet.picture"), "system")),),
    )


def _users(plan: Plan, holder: int, month: int) -> str:
    jobs = plan.market.scenario.jobs
    used = [(float(plan.use[0, j, holder, month]), jobs[j].id) for j in range(len(jobs))]
    return joined([said("fleet.user", job=name, chips=chips) for chips, name in sorted(used, reverse=True)
                   if chips >= 0.5])


def _merged(standing: list[Standing]) -> list[dict[str, object]]:
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for month, system, chips in standing:
        sums[month, system] += chips
    return [{"month": m, "system": s, "chips": v} for (m, s), v in sorted(sums.items())]


def power(plan: Plan) -> Table:
    """Facility power in use against the limit: one line per site, the months in the picture."""
    market = plan.market
    rows: list[tuple[Cell, ...]] = []
    pictures: list[tuple[str, charts.Spec]] = []
    for s, site in enumerate(market.scenario.sites):
        used, limit = plan.power[0, s], market.power[s]
        peak = int(np.argmax(used))
        full = int(np.sum((used >= 0.99 * limit) & (limit > 0)))
        rows.append((site.id, float(limit[0]), float(limit[-1]), float(used[peak]), market.start + peak,
                     float(used[peak] / limit[peak]) if limit[peak] > 0 else None, full))
        pictures.append((site.name, charts.against_limit(
            [{"month": month_name(market.start + t), "used": float(used[t]) / 1e6, "limit": float(limit[t]) / 1e6}
             for t in range(market.months)], month_names(plan), said("power.picture"))))
    return Table(
        id="power", title=said("power.title"), how=said("power.how"),
        lead=said("power.lead", sites=_fullest(rows)),
        empty=said("power.empty"),
        columns=(column("site"), column("limit at start", "power"), column("limit at end", "power"),
                 column("peak in use", "power"), column("in", "month"), column("of limit", "share"),
                 column("months at limit", "count")),
        rows=tuple(rows), charts=tuple(pictures),
        origins=tuple((f"sites.{r[0]}.power", f"sites.{r[0]}.pue") for r in rows),
    )


def _fullest(rows: list[tuple[Cell, ...]]) -> list[str]:
    full = [said("power.full", site=row[0], n=row[6]) for row in rows if row[6]]
    return [*full] or [said("power.none full")]


def energy(plan: Plan) -> Table:
    """Energy at the meter and what it emits, by site over the horizon, base draw."""
    market = plan.market
    rows = tuple((site.id, float(plan.energy[0, s].sum()),
                  float(plan.energy[0, s].sum() / market.seconds.sum()),
                  float((plan.energy[0, s] * market.energy_price[s]).sum()),
                  float((plan.energy[0, s] * market.carbon[s]).sum()) / 1e3)
                 for s, site in enumerate(market.scenario.sites))
    return Table(
        id="energy", title=said("energy.title"), how=said("energy.how"),
        lead=said("energy.lead", energy=sum(r[1] for r in rows), n=market.months), empty=said("power.empty"),
        columns=(column("site"), column("energy", "energy"), column("mean power", "power"), column("cost", "money"),
                 column("co2e", "count")),
        rows=rows,
        origins=tuple(tuple(f"sites.{r[0]}.{t}" for t in ("energy_price", "carbon", "pue")) for r in rows),
    )


def power_by_month(plan: Plan) -> Table:
    """Use and limit of every site in every month (the detail under the power table)."""
    market = plan.market
    return Table(
        id="power-by-month", title=said("power-by-month.title"), how=said("power-by-month.how"),
        lead=said("power-by-month.lead"),
        empty=said("power.empty"), wide=True,
        columns=(column("month", "month"), column("site"), column("in use", "power"), column("limit", "power"),
                 column("dark units", "count")),
        rows=tuple((market.start + t, site.id, float(plan.power[0, s, t]), float(market.power[s, t]),
                    _dark(plan, s, t))
                   for t in range(market.months) for s, site in enumerate(market.scenario.sites)),
    )


def _dark(plan: Plan, site: int, month: int) -> float:
    """Installed units nobody uses in a month: they wait for power or for work."""
    at_site = np.flatnonzero(plan.holder_site == site)
    chips = plan.market.chips[plan.holder_system[at_site]]
    used = plan.use[0][:, at_site, month].sum(axis=0) / chips
    return float(np.maximum(plan.installed[0, at_site, month] - used, 0).sum())
