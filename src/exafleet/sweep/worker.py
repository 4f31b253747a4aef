"""What a worker of a cluster does with a chunk of items. Nothing of the cluster's own software is imported here."""

from __future__ import annotations

import functools
import pickle
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from exafleet.sweep.sameness import differences, sameness


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What came of the items of one task.

    results  of the items up to the first that failed, in their order, each packed
    error    what that one raised, packed; None when every item has its result
    seconds  time the items took here                                               [s]
    refused  why this worker may not or cannot compute; empty when it can
    """

    results: tuple[bytes, ...] = ()
    error: bytes | None = None
    seconds: float = 0.0
    refused: str = ""


def work(
    function: bytes, items: bytes, expected: tuple[tuple[str, str], ...], pack: Callable[[Any], bytes]
) -> Chunk:
    """The function over the items of one task, in their order, up to the first that fails.

    function, items   packed by the driver
    expected          what the driver computes with; a worker with anything else computes nothing
    """
    differ = differences(expected, sameness())
    if differ:
        return Chunk(refused=f"this worker would not give the same bytes: {differ}")
    try:
        call, here = _unpacked(function), pickle.loads(items)
    except Exception as error:  # noqa: BLE001  (told to the driver, which knows whom to tell)
        return Chunk(refused=f"the work cannot be loaded on this worker: {type(error).__name__}: {error}")
    began = time.monotonic()
    results: list[bytes] = []
    failed: bytes | None = None
    for item in here:
        try:
            results.append(pack(call(item)))
        except BaseException as error:  # noqa: BLE001  (raised again by the driver)
            failed = _packed_error(error, pack)
            break
    return Chunk(results=tuple(results), error=failed, seconds=time.monotonic() - began)


@functools.lru_cache(maxsize=1)
def _unpacked(function: bytes) -> Callable[[Any], Any]:
    loaded: Callable[[Any], Any] = pickle.loads(function)
    return loaded


def _packed_error(error: BaseException, pack: Callable[[Any], bytes]) -> bytes:
    """The error as it was, with its traceback as a note; its words alone where it cannot travel."""
    error.add_note("On a worker of the cluster:\n" + "".join(traceback.format_exception(error)))
    try:
        packed = pack(error)
        pickle.loads(packed)
    except Exception:  # noqa: BLE001  (an error that cannot be packed, or packs into something that cannot be unpacked)
        return pack(RuntimeError(f"{type(error).__name__}: {error}"))
    return packed
