"""Seconds of a collective over a scale-up domain and a scale-out network: a hierarchical latency-bandwidth model.

A group of n ranks spaced `stride` chips apart has `local` of them in one scale-up domain and spans n / local domains.
Inside the domain bytes move at link bandwidth, between domains at NIC bandwidth; the two phases are pipelined, so the
slower one counts. Bandwidth shares and latencies are measured facts of data/fabrics.csv.
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
class Fabric:
    """Scale-up and scale-out channel of a system by collective; `domain` chips share one scale-up domain."""

    system: str
    domain: int
    link: Mapping[str, Channel]
    nic: Mapping[str, Channel]


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
    return Fabric(system=system.id, domain=reach(system), link=link, nic=nic)


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


def _phase(channel: Channel | None, nbytes: Floats, message: Floats, ranks: Floats) -> Floats:
    """Time of moving `nbytes` from each chip over one level, as part of a message; inf without such a level."""
    if channel is None:
        return np.where(ranks > 1, np.inf, 0.0)
    slow = 1.0 + np.sqrt(channel.half / np.maximum(message, 1.0))
    steps = np.log2(np.maximum(ranks, 1.0))
    return np.where(ranks > 1, channel.latency * np.maximum(steps, 1.0) + nbytes / channel.bandwidth * slow, 0.0)


def _two_level(kind: str, nbytes: npt.ArrayLike, ranks: npt.ArrayLike, stride: npt.ArrayLike, net: Fabric,
               factor: float) -> Floats:
    """Ring-like collectives: `factor` passes of a message of `nbytes` (whole vector) over both levels."""
    message, n = np.asarray(nbytes, dtype=np.float64), np.asarray(ranks, dtype=np.float64)
    local = local_ranks(n, stride, net.domain)
    far = n / local
    inside = _phase(net.link.get(kind), factor * message * (local - 1) / local, message, local)
    # Each chip carries its 1/local of the vector between domains.
    outside = _phase(net.nic.get(kind), factor * message / local * (far - 1) / far, message / local, far)
    return np.maximum(inside, outside)


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


def all_to_all(nbytes: npt.ArrayLike, ranks: npt.ArrayLike, stride: npt.ArrayLike, net: Fabric) -> Floats:
    """Time in which every chip sends `nbytes`, spread evenly over the group (itself included). [s]"""
    message, n = np.asarray(nbytes, dtype=np.float64), np.asarray(ranks, dtype=np.float64)
    local = local_ranks(n, stride, net.domain)
    inside = _phase(net.link.get("all_to_all"), message * (local - 1) / n, message, local)
    outside = _phase(net.nic.get("all_to_all"), message * (n - local) / n, message, n / local)
    return np.maximum(inside, outside)


def p2p(nbytes: npt.ArrayLike, distance: npt.ArrayLike, net: Fabric) -> Floats:
    """Time to send `nbytes` to the chip `distance` chips away: over the link if it is in the same domain. [s]"""
    message = np.asarray(nbytes, dtype=np.float64)
    near = np.asarray(distance, dtype=np.float64) < net.domain
    two = np.full(np.shape(message), 2.0)
    link = _phase(net.link.get("p2p"), message, message, two)
    nic = _phase(net.nic.get("p2p"), message, message, two)
    return np.where(near & bool(net.link), link, nic)
