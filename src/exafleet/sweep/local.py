"""The same function over many items, in this process, in several on this machine, or on a cluster.

Results come back in the order of the items whatever the number of workers, so a sweep is as deterministic as the
function. Ctrl-C keeps what is finished: `Interrupted` carries it.
"""

from __future__ import annotations

import functools
import pickle
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from exafleet.sweep.interrupted import Interrupted

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]


def sweep(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """[function(item) for item in items], over `workers` processes, or over a Ray cluster.

    function  a module-level function when workers > 1 (each process starts afresh and imports it)
    cluster   "auto" or HOST:PORT of a running Ray cluster, which then does all the work; see sweep/cluster.py
    progress  called as progress(done, total) after each item, in this process; on a cluster after some

    Raises whatever `function` raises, for the first item in order that failed; Interrupted on Ctrl-C; ValueError for
    workers < 1; ClusterError where the cluster cannot be used.

    >>> sweep(abs, [-2, 1])
    [2, 1]
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if cluster is not None:
        from exafleet.sweep.cluster import sweep_on

        return sweep_on(cluster, function, items, progress=progress)
    if workers == 1 or len(items) < 2:
        return _here(function, items, progress)
    return _there(function, items, min(workers, len(items)), progress)


def _here(function: Callable[[Item], Result], items: Sequence[Item], progress: Progress | None) -> list[Result]:
    results: list[Result] = []
    try:
        for item in items:
            results.append(function(item))
            if progress is not None:
                progress(len(results), len(items))
    except KeyboardInterrupt as error:
        raise Interrupted(list(enumerate(results)), len(items)) from error
    return results


def _there(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, progress: Progress | None
) -> list[Result]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    others = set(active_children())
    # Spawned, not forked: the parent may hold the threads of BLAS or of the solver, which do not survive a fork.
    # The function travels once to each process, which keeps what it has worked out from one item to the next.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin,
                               initargs=(pickle.dumps(function),))
    futures: list[Future[Result]] = []
    results: list[Result] = []
    try:
        futures = [pool.submit(_do, item) for item in items]
        for future in futures:
            results.append(future.result())
            if progress is not None:
                progress(len(results), len(items))
    except BaseException as error:
        finished = [(place, f.result()) for place, f in enumerate(futures) if _succeeded(f)]
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in set(active_children()) - others:
            worker.terminate()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(finished, len(items)) from error
        raise
    pool.shutdown()
    return results


def _succeeded(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


# What a worker process was started for, packed.
_GIVEN: list[bytes] = []


def _begin(function: bytes) -> None:
    """A worker's start. Ctrl-C reaches every process of the terminal; only the parent may answer it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _GIVEN.append(function)


@functools.cache
def _given() -> Callable[[Any], Any]:
    loaded: Callable[[Any], Any] = pickle.loads(_GIVEN[-1])
    return loaded


def _do(item: Any) -> Any:
    return _given()(item)
