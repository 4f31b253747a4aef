"""The same function over many items on the processes of a Ray cluster.

The cluster is the user's: nothing is started here, and nothing listens. Results come back in the order of the items and
are those of a run on this machine, because a worker whose code, data or libraries differ from the driver's refuses to
work. A worker or node that dies costs time: its items are asked for again, one by one, up to `tries` times. Small items
travel in chunks that take about a second. Ctrl-C keeps what is finished, and ends what runs by closing the connection.
One open before the sweep stays open: what was asked for there, at most two chunks a processor, runs to its end.

Whoever can reach the port of a Ray cluster can run any program on it: keep it on loopback or in a network of your own.
"""

from __future__ import annotations

import os
import pickle
import re
import socket
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from exafleet.sweep.interrupted import Interrupted
from exafleet.sweep.sameness import sameness
from exafleet.sweep.worker import Chunk
from exafleet.terms.errors import ExafleetError, Problem

Item = TypeVar("Item")
Result = TypeVar("Result")

AUTO = "auto"
# Times an item may lose its worker before it is taken to be what kills it.
TRIES = 3
# Seconds a chunk of small items should take, and its most items: a task costs a millisecond or two.
CHUNK_SECONDS, CHUNK_MOST = 1.0, 5000
# Seconds without a processor in the whole cluster before the sweep gives up.
PATIENCE = 60
_CONNECT_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class ClusterError(ExafleetError):
    """The cluster cannot be reached, or its workers cannot do the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """Places of the items asked for in one task, and how often their worker was lost before."""

    places: range
    lost: int = 0


def check(cluster: str) -> str:
    """HOST:PORT of a cluster that answers, told before long work begins; raises ClusterError.

    cluster   "auto" for the one this machine belongs to (or RAY_ADDRESS), or HOST:PORT
    """
    ray = _ray(cluster)
    if cluster != AUTO and not re.fullmatch(r"[\w.-]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}", cluster):
        raise ClusterError(Problem(where="--cluster", what="not the address of a Ray cluster", got=repr(cluster),
                                   allowed="auto, or HOST:PORT such as 10.0.0.5:6379",
                                   remedy="Run the command on a machine of the cluster"))
    address = _seen_from_here(ray, cluster)
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(cluster, f"nothing answers at {address} ({error})") from None
    return address


def sweep_on(
    cluster: str,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    tries: int = TRIES,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """[function(item) for item in items], by the processes of a Ray cluster.

    cluster   "auto" or HOST:PORT; a connection this process already has is used as it is
    tries     times the worker of an item may die before the item is refused                   [1]

    Raises what `function` raises, for the first item in order that failed; Interrupted on Ctrl-C; ClusterError.
    """
    if tries < 1:
        raise ValueError(f"tries must be at least 1, got {tries}")
    ray = _ray(cluster)
    with _connected(ray, cluster):
        return _Sweep(ray, function, items, tries, progress).run()


class _Sweep:
    """One sweep: what is to be asked, what runs, what is known."""

    def __init__(self, ray: Any, function: Any, items: Sequence[Any], tries: int, progress: Any) -> None:
        self._ray, self._items, self._tries, self._progress = ray, items, tries, progress
        self._call = _remote(ray)
        self._function = ray.put(ray.cloudpickle.dumps(function))
        self._next = 0
        self._again: deque[_Task] = deque()
        self._flying: dict[Any, _Task] = {}
        self._results: dict[int, Any] = {}
        self._failed: dict[int, BaseException] = {}
        self._seconds, self._timed, self._idle = 0.0, 0, 0.0

    def run(self) -> list[Any]:
        """Results in order, or the error of the first item that has one."""
        of = len(self._items)
        try:
            while self._open():
                self._ask()
                self._land(1.0)
        except KeyboardInterrupt as error:
            # No task is cancelled by itself: in Ray 2.60 one that ends in that moment takes the driver with it.
            self._land(0.0)
            raise Interrupted(sorted(self._results.items()), of) from error
        if self._failed:
            raise self._failed[self._end]
        return [self._results[p] for p in range(of)]

    def _open(self) -> bool:
        """Is an item still without its result? With none failed a count tells."""
        if not self._failed:
            return len(self._results) < len(self._items)
        return any(place not in self._results for place in range(self._end))

    @property
    def _end(self) -> int:
        """Items from here on are of no interest: one here failed, and the first failure is what is told."""
        return min(self._failed, default=len(self._items))

    def _ask(self) -> None:
        """Keep twice as many tasks waiting as the cluster has processors."""
        slots = int(self._ray.cluster_resources().get("CPU", 0))
        self._wait_for_processors(slots)
        while len(self._flying) < 2 * slots:
            if self._again:
                task = self._again.popleft()
            elif self._next < self._end:
                task = _Task(places=range(self._next, min(self._end, self._next + self._chunk(slots))))
                self._next = task.places.stop
            else:
                return
            if task.places.start < self._end:
                self._send(task)

    def _send(self, task: _Task) -> None:
        items = self._ray.cloudpickle.dumps([self._items[p] for p in task.places])
        self._flying[self._call.remote(self._function, items, sameness())] = task

    def _chunk(self, slots: int) -> int:
        """Items for the next task: one until it is known how long one takes, then about a second's worth."""
        if not self._timed:
            return 1
        wanted = int(CHUNK_SECONDS * self._timed / max(self._seconds, 1e-6))
        fair = -(-(self._end - self._next) // (2 * slots))
        return max(1, min(wanted, fair, CHUNK_MOST))

    def _wait_for_processors(self, slots: int) -> None:
        self._idle = 0.0 if slots else self._idle + 1.0
        if self._idle > PATIENCE:
            raise ClusterError(Problem(where="--cluster", what=f"no node with a processor for {PATIENCE} s",
                                       remedy="Add a node with `ray start --address=HOST:PORT`"))

    def _land(self, seconds: float) -> None:
        """Take in what is ready, waiting up to some seconds for the first."""
        flying = list(self._flying)
        if not flying:  # no processor yet
            time.sleep(seconds if self._idle else 0.0)
            return
        self._ray.wait(flying, num_returns=1, timeout=seconds)
        ready, _ = self._ray.wait(flying, num_returns=len(flying), timeout=0)
        for one in ready:
            self._take(self._flying[one], self._fetched(one))
            del self._flying[one]
        if ready and self._progress is not None:
            self._progress(len(self._results), len(self._items))

    def _fetched(self, one: Any) -> Chunk | None:
        """What a task gave; None when it was lost with its worker or node."""
        errors = self._ray.exceptions
        try:
            found: Chunk | str = pickle.loads(self._ray.get(one))
        except (errors.RayTaskError, errors.RuntimeEnvSetupError, errors.RaySystemError) as error:
            raise _unusable(f"a task could not be run: {_first_line(error)}") from None
        except errors.RayError:
            return None
        if isinstance(found, str):
            raise _unusable(found)
        if found.refused:
            raise _unusable(found.refused)
        return found

    def _take(self, task: _Task, found: Chunk | None) -> None:
        if found is None:
            self._lost(task)
            return
        for place, result in zip(task.places, found.results, strict=False):
            self._results[place] = pickle.loads(result)
        if found.error is not None:
            self._failed[task.places[len(found.results)]] = pickle.loads(found.error)
        self._seconds, self._timed = self._seconds + found.seconds, self._timed + len(found.results)

    def _lost(self, task: _Task) -> None:
        """Ask for each item alone, so that one that kills its worker is found and takes no other with it."""
        lost = task.lost + 1
        if lost < self._tries or len(task.places) > 1:
            self._again.extend(_Task(places=range(p, p + 1), lost=lost) for p in task.places)
            return
        place = task.places.start
        self._failed[place] = ClusterError(
            Problem(where=f"item {place + 1:,} of {len(self._items):,}",
                    what=f"its worker died each of {lost} times it was tried",
                    remedy="Try it on this machine, without --cluster; it may need more memory than a worker has"))


def _remote(ray: Any) -> Any:
    """The task. It travels as code, not by name, so that a worker without exafleet can say that it has none."""

    def chunk(function: bytes, items: bytes, expected: tuple[tuple[str, str], ...]) -> bytes:
        import pickle

        from ray import cloudpickle

        try:
            from exafleet.sweep.worker import work
        except ImportError as error:
            return pickle.dumps(f"a worker has no such exafleet: {error}")
        packed: bytes = pickle.dumps(work(function, items, expected, cloudpickle.dumps))
        return packed

    # The driver asks again itself: only so is it known which item a worker dies of.
    return ray.remote(num_cpus=1, max_retries=0)(chunk)


def _ray(cluster: str) -> Any:
    """The library, told to send nothing home."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # It would try for many minutes to reach a cluster that does not answer.
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
    if cluster.rpartition(":")[0] in _LOOPBACK:
        # Without it Ray replaces a loopback address by the machine's outer one, where such a cluster does not listen.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError:
        raise ClusterError(Problem(where="--cluster", what="sweeping on a cluster needs Ray, which is not installed",
                                   remedy='Install it with `pip install "exafleet[ray]"`')) from None
    return ray


def _seen_from_here(ray: Any, cluster: str) -> str:
    """The HOST:PORT Ray would go to."""
    from ray._private import services

    try:
        return str(services.canonicalize_bootstrap_address_or_die(cluster))
    except (ConnectionError, ValueError, OSError) as error:
        raise _unreachable(cluster, f"{_first_line(error)}") from None


@contextmanager
def _connected(ray: Any, cluster: str) -> Iterator[None]:
    """A connection for the length of a sweep, which ends its tasks with it; one that is there already is left open."""
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if cluster not in (AUTO, there):
            raise _unreachable(cluster, f"this process is already connected to {there}")
        yield
        return
    address = check(cluster)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray's word on its own next release
            ray.init(address=address, log_to_driver=False, logging_level="error", configure_logging=False)
    except (RuntimeError, ConnectionError, OSError) as error:
        ray.shutdown()
        raise _unreachable(cluster, _first_line(error)) from None
    try:
        yield
    finally:
        ray.shutdown()


def _unreachable(cluster: str, why: str) -> ClusterError:
    return ClusterError(
        Problem(where="--cluster", what=f"no Ray cluster can be used there: {why}", got=repr(cluster),
                remedy="docs/models/sweep.md says how to start one; without --cluster this machine does the work"))


def _unusable(why: str) -> ClusterError:
    return ClusterError(Problem(where="--cluster", what=why,
                                remedy="Install the same exafleet, with the same libraries, on every node"))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
