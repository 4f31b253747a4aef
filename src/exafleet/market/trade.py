"""What tariffs and bans do to a market: what they cost, what cannot be installed, when held-back units come."""

from __future__ import annotations

import numpy as np

from exafleet.facts.deals import Offer, OpenOrder
from exafleet.market.market import Bools, Floats, Ints, Market
from exafleet.market.trade_rules import hits, of_kind, window


def released(market: Market, sold: Offer | OpenOrder, month: Ints) -> Ints:
    """When units that would arrive in these month indices do arrive, as bans on arrival let them; FOR_GOOD: never."""
    found = month.copy()
    for rule in sorted(of_kind(market.scenario, "ban", "arrival"), key=lambda r: r.first):
        if not rule.sites and hits(rule, sold.supplier, sold.system):
            first, after = window(rule, market.start)
            found = np.where((found >= first) & (found < after), after, found)
    return found


def install_ban(market: Market) -> Bools:
    """Where and when a system may not be installed. [S, K, T]"""
    banned = np.zeros((len(market.scenario.sites), len(market.systems), market.months), dtype=bool)
    for rule in of_kind(market.scenario, "ban", "install"):
        first, after = window(rule, market.start)
        at = [not rule.sites or s.id in rule.sites for s in market.scenario.sites]
        which = [not rule.systems or k in rule.systems for k in market.systems]
        when = np.arange(max(first, 0), min(after, market.months))
        banned[np.ix_(np.flatnonzero(at), np.flatnonzero(which), when)] = True
    return banned


def tariff(market: Market, offer: Ints, month: Ints) -> Floats:
    """Share of the price that tariffs take from units of these offers arriving in these month indices. [C]"""
    rate = np.zeros(len(offer))
    for f in np.unique(offer).tolist():
        mine = offer == f
        rate[mine] = _rate(market, market.scenario.offers[f], month[mine])
    return rate


def tariff_open(market: Market, q: int, month: Ints) -> Floats:
    """The same for an open order."""
    return _rate(market, market.scenario.open_orders[q], month)


def _rate(market: Market, sold: Offer | OpenOrder, month: Ints) -> Floats:
    rate = np.zeros(len(month))
    for rule in of_kind(market.scenario, "tariff"):
        if not rule.sites and hits(rule, sold.supplier, sold.system):
            first, after = window(rule, market.start)
            rate += rule.rate * ((month >= first) & (month < after))
    return rate


def site_tariff(market: Market) -> Floats:
    """USD on installing one unit at a site in a month: on the cheapest price at which it is then offered. [S, K, T]"""
    usd = np.zeros((len(market.scenario.sites), len(market.systems), market.months))
    month = np.arange(market.months)
    price = _cheapest(market)
    for rule in of_kind(market.scenario, "tariff"):
        first, after = window(rule, market.start)
        which = np.array([not rule.systems or k in rule.systems for k in market.systems])
        for s, site in enumerate(market.scenario.sites):
            if site.id in rule.sites:
                usd[s] += rule.rate * price * which[:, None] * ((month >= first) & (month < after))
    return usd


def _cheapest(market: Market) -> Floats:
    """Cheapest price of a system by month, of offers or else of open orders; 0 where nobody sells it. [K, T]"""
    price = np.full((len(market.systems), market.months), np.inf)
    for f, offer in enumerate(market.scenario.offers):
        k = market.systems.index(offer.system)
        price[k] = np.minimum(price[k], market.price[f])
    for order in market.scenario.open_orders:
        k = market.systems.index(order.system)
        price[k] = np.where(np.isfinite(price[k]), price[k], order.price)
    return np.where(np.isfinite(price), price, 0.0)
