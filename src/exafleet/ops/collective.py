"""Seconds of a collective over a scale-up domain and a scale-out network: a hierarchical latency-bandwidth model.

A group of n ranks spaced `stride` chips apart has `local` of them in one scale-up domain and spans n / local domains.
Inside the domain bytes move at link bandwidth, between domains at NIC bandwidth; the two phases are pipelined, so the
slower one counts. Bandwidth shares and latencies are measured facts of data/fabrics.csv. Between domains the better of
a ring and a tree counts, and every level of switches adds latency and may be oversubscribed (data/networks.csv); inside
a torus a group has the links of the axes it lies along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System
from exafleet.ops.efficiency import ANY_CHIP
from exafleet.terms.errors import MissingFact, Problem

Floats = npt.NDArray[np.float64]
KINDS = ("all_gather", "reduce_scatter", "all_reduce", "all_to_all", "p2p")
NETWORK = "scale-out-network"
# Torus slices are built of cubes of this side, and XLA lays one mesh axis after the other along their sides.
CUBE = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One level of the network as one collective sees it.

    bandwidth  bus bandwidth of one chip, one direction, for very large messages     [B/s]
    latency    of one collective over two ranks; grows with log2 of the ranks         [s]
    half       message at which the bandwidth term doubles (protocol and pipeline)    [B]
    """

    bandwidth: float
    latency: float
    half: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One level of switches of the scale-out network, above the domains.

    reach             chips that meet at or below it                                             [1]
    oversubscription  bandwidth of its chips over that of its links to the level above            [1]
    latency           added to a message that has to leave it                                     [s]
    """

    reach: float
    oversubscription: float
    latency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """Scale-up and scale-out channel of a system by collective; `domain` chips share one scale-up domain.

    tiers       levels of the scale-out network, lowest first
    ring_step   latency of one more rank in a ring between domains                                [s]
    tree_share  bandwidth of a tree between domains over that of a ring                            [1]
    torus       axes of the scale-up torus; 0 where the domain is switched
    """

    system: str
    domain: int
    link: Mapping[str, Channel]
    nic: Mapping[str, Channel]
    tiers: tuple[Tier, ...] = ()
    ring_step: float = np.inf
    tree_share: float = 1.0
    torus: int = 0


def fabric(facts: Facts, system: System, network: float = 1.0) -> Fabric:
    """Fabric of a system as of the facts' date; raises MissingFact naming every missing term.

    A chip with no figure at all takes the generic ones of any chip.

    network   share of the scale-out bandwidth that the software reaches    [1]
    """
    missing: list[str] = []
    chip = system.chip
    known = any(facts.find(chip.id, f"{level}_share") for level in ("link", "nic"))

    def value(term: str, at: str) -> float:
        found = facts.find(chip.id if known else ANY_CHIP, term)
        fact = found.get(at) or found.get("")
        if fact is None:
            missing.append(f"{chip.id}.{term}@{at}")
            return float("nan")
        return fact.value

    def channels(level: str, peak: float) -> dict[str, Channel]:
        return {kind: Channel(bandwidth=peak * value(f"{level}_share", kind), latency=value(f"{level}_latency", kind),
                              half=value(f"{level}_half", kind)) for kind in KINDS}

    link = channels("link", chip.link_bw) if chip.link_bw else {}
    nic = channels("nic", chip.nic_bw * network) if chip.nic_bw else {}
    if missing:
        raise MissingFact(
            [
                Problem(what=f"no collective figures of {chip.name} as of {facts.as_of.isoformat()}", got=key)
                for key in missing
            ]
        )
    return Fabric(system=system.id, domain=reach(system), link=link, nic=nic, tiers=_tiers(facts, system),
                  ring_step=facts.try_value(f"{NETWORK}.ring_step") or np.inf,
                  tree_share=facts.try_value(f"{NETWORK}.tree_share") or 1.0,
                  torus=round(facts.try_value(f"{chip.id}.torus_axes") or 0))


def _tiers(facts: Facts, system: System) -> tuple[Tier, ...]:
    """Levels of switches above a system's domain, lowest first; a system's own facts win over everybody's."""
    terms = ("reach", "oversubscription", "latency")
    known = {t: {**facts.find(NETWORK, f"tier_{t}"), **facts.find(system.id, f"tier_{t}")} for t in terms}
    whole = [at for at in known["reach"] if all(at in known[t] for t in terms)]
    return tuple(sorted((Tier(**{t: known[t][at].value for t in terms}) for at in whole), key=lambda tier: tier.reach))


def reach(system: System) -> int:
    """Chips joined by `link_bw`: the scale-up domain, or the cards of one server, which meet over its bus."""
    return system.chips if system.domain == 1 and system.chip.link_bw > 0 else system.domain


def local_ranks(ranks: npt.ArrayLike, stride: npt.ArrayLike, domain: int) -> Floats:
    """How many of `ranks`, spaced `stride` chips apart, share one scale-up domain. [...]

    >>> local_ranks([4, 16], 8, 72).tolist()
    [4.0, 9.0]
    """
    inside = np.floor(domain / np.asarray(stride, dtype=np.float64))
    return np.asarray(np.clip(inside, 1.0, np.asarray(ranks, dtype=np.float64)))


def _start(channel: Channel, ranks: Floats) -> Floats:
    """Latency of a tree over ranks; nothing for one. [s]"""
    return np.where(ranks > 1, channel.latency * np.maximum(np.log2(np.maximum(ranks, 1.0)), 1.0), 0.0)


def _flow(channel: Channel, passes: Floats, message: Floats, parts: Floats) -> Floats:
    """Time of moving `passes` times the 1/parts of a message over a channel. [s]

    A message of m takes m / bandwidth (1 + sqrt(half / m)). Written so that what depends on the group and what depends
    on the message meet in two products only: arrays of groups and of messages are often far smaller than both together.
    """
    return passes / (parts * channel.bandwidth) * message \
        + passes * np.sqrt(channel.half / parts) / channel.bandwidth * np.sqrt(message)


def _two_level(kind: str, nbytes: npt.ArrayLike, ranks: npt.ArrayLike, stride: npt.ArrayLike, net: Fabric,
               factor: float) -> Floats:
    """Ring-like collectives: `factor` passes of a message of `nbytes` (whole vector) over both levels."""
    message, n = np.asarray(nbytes, dtype=np.float64), np.asarray(ranks, dtype=np.float64)
    step = np.asarray(stride, dtype=np.float64)
    local = local_ranks(n, step, net.domain)
    far = n / local
    inside = _inside(kind, factor * (local - 1) / local, message, local, step, net)
    outside = _outside(kind, factor * (far - 1) / far, message, local, far, step, net)
    return np.maximum(inside, outside)


def _inside(kind: str, passes: Floats, message: Floats, local: Floats, stride: Floats, net: Fabric) -> Floats:
    """Phase inside the domain; inf where one is needed and there is no link."""
    channel = net.link.get(kind)
    if channel is None:
        return np.where(local > 1, np.inf, 0.0)
    if net.torus:
        passes = passes * net.torus / _axes(local, stride, net.torus)
    return np.asarray(_start(channel, local) + _flow(channel, passes, message, np.ones_like(local)))


def _axes(ranks: Floats, stride: Floats, most: int) -> Floats:
    """Axes of a torus that a group lies along; it has the links of those alone. [...]

    >>> _axes(np.array([4.0, 16.0, 4096.0]), np.array([1.0, 1.0, 1.0]), 3).tolist()
    [1.0, 2.0, 3.0]
    """
    first, end = (np.log(np.maximum(v, 1.0)) / np.log(CUBE) for v in (stride, stride * ranks))
    return np.asarray(np.clip(np.ceil(end - 1e-9) - np.floor(first + 1e-9), 1.0, float(most)))


def _outside(kind: str, passes: Floats, message: Floats, local: Floats, far: Floats, stride: Floats,
             net: Fabric) -> Floats:
    """Phase between domains, each chip with its 1/local of the vector: the better of a ring and a tree.

    A ring's latency grows with the domains, a tree's with their logarithm, at a lower bandwidth.
    """
    channel = net.nic.get(kind)
    if channel is None:
        return np.where(far > 1, np.inf, 0.0)
    hops, squeeze = _climb(far, stride * local, net)
    flow = _flow(channel, passes * squeeze, message, local)
    tree = _start(channel, far) + hops
    ring = np.where(far > 1, channel.latency + net.ring_step * np.maximum(far - 2, 0.0) + hops, 0.0) \
        if np.isfinite(net.ring_step) else np.where(far > 1, np.inf, 0.0)
    return np.minimum(ring + flow, tree + flow / net.tree_share)


def _climb(far: Floats, spacing: Floats, net: Fabric) -> tuple[Floats, Floats]:
    """Latency added by the switch levels a group leaves, and how much slower its bytes are where they are thinned out.

    Ranks of one level exchange among themselves first, so that only 1/ranks of the bytes has to leave it.
    """
    hops, squeeze = np.zeros_like(far), np.ones_like(far)
    for tier in net.tiers:
        within = np.clip(np.floor(tier.reach / spacing), 1.0, far)
        hops = hops + tier.latency * np.log2(np.maximum(far / within, 1.0))
        squeeze = np.where(within < far, np.maximum(squeeze, tier.oversubscription / within), squeeze)
    return hops, squeeze


def all_gather(nbytes: npt.ArrayLike, ranks: npt.ArrayLike, stride: npt.ArrayLike, net: Fabric) -> Floats:
    """Time to gather a vector of `nbytes` that `ranks` chips hold in equal shares. [s]

    nbytes  the gathered vector                                    [B]
    ranks   chips in the group                                     [1]
    stride  distance between neighbours of the group, in chips      [1]
    """
    return _two_level("all_gather", nbytes, ranks, stride, net, 1.0)


def reduce_scatter(nbytes: npt.ArrayLike, ranks: npt.ArrayLike, stride: npt.ArrayLike, net: Fabric) -> Floats:
    """Time to reduce vectors of `nbytes` and leave each chip its share. [s]"""
    return _two_level("reduce_scatter", nbytes, ranks, stride, net, 1.0)


def all_reduce(nbytes: npt.ArrayLike, ranks: npt.ArrayLike, stride: npt.ArrayLike, net: Fabric) -> Floats:
    """Time to reduce vectors of `nbytes` and leave every chip the whole. [s]"""
    return _two_level("all_reduce", nbytes, ranks, stride, net, 2.0)


def all_to_all(nbytes: npt.ArrayLike, ranks: npt.ArrayLike, stride: npt.ArrayLike, net: Fabric, *,
               between: npt.ArrayLike | None = None) -> Floats:
    """Time in which every chip sends `nbytes`, spread evenly over the group (itself included). [s]

    between   the same as far as domains exchange it, where that is less: what many ranks of a domain want crosses to it
              once                                                                                              [B]

    Between domains bytes leave on the rail of the chip they are for, so they cross the sender's domain first; where a
    level of switches is oversubscribed, all that leaves it is slowed. On a torus the cut through its middle counts.
    """
    message, n = np.asarray(nbytes, dtype=np.float64), np.asarray(ranks, dtype=np.float64)
    crossed = message if between is None else np.asarray(between, dtype=np.float64)
    local = local_ranks(n, stride, net.domain)
    crossing = (n - local) / n
    inside = _exchange(net.link.get("all_to_all"), (local - 1) / n * _cut(local, net) + crossing * (local - 1) / local,
                       message, local)
    outside = _exchange(net.nic.get("all_to_all"), crossing, crossed, n / local)
    far, spacing = n / local, np.asarray(stride) * local
    for tier in net.tiers if net.nic else ():
        within = np.clip(np.floor(tier.reach / spacing), 1.0, far)
        leaving = (far - within) / far * tier.oversubscription
        outside = np.maximum(outside, _exchange(net.nic.get("all_to_all"), leaving, crossed, far)) \
            + np.where(within < far, tier.latency, 0.0)
    return np.maximum(inside, outside)


def _exchange(channel: Channel | None, passes: Floats, message: Floats, ranks: Floats) -> Floats:
    """One level of an all-to-all that moves `passes` of the message; inf without such a level."""
    if channel is None:
        return np.where(ranks > 1, np.inf, 0.0)
    return _start(channel, ranks) + _flow(channel, passes, message, np.ones_like(ranks))


def _cut(ranks: Floats, net: Fabric) -> Floats:
    """How much slower an all-to-all is on a torus of so many ranks than behind a switch: k sides a quarter long. [1]"""
    if not net.torus:
        return np.ones_like(ranks)
    return np.asarray(np.maximum(ranks ** (1.0 / net.torus) * net.torus / 4.0, 1.0))


def p2p(nbytes: npt.ArrayLike, distance: npt.ArrayLike, net: Fabric) -> Floats:
    """Time to send `nbytes` to the chip `distance` chips away: over the link if it is in the same domain. [s]"""
    message, away = np.asarray(nbytes, dtype=np.float64), np.asarray(distance, dtype=np.float64)
    one, two = np.ones(()), np.full((), 2.0)
    link, nic = (_exchange(level.get("p2p"), one, message, two) for level in (net.link, net.nic))
    extra = sum((np.where(away >= tier.reach, tier.latency, 0.0) for tier in net.tiers), np.zeros(()))
    return np.where((away < net.domain) & bool(net.link), link, nic + extra)
