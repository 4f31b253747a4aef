"""Writes a result file whole or not at all: a temporary file in the same folder, then a rename over the old one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".partial"


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 so that `path` holds either all of it or what it held before; raises OSError."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` so that `path` holds either all of it or what it held before; raises OSError.

    A link is followed: the file it points to is replaced. A pipe or a device is written to directly.
    """
    target = Path(os.path.realpath(path))
    if _is_stream(target):
        target.write_bytes(content)
        return
    with _named(path):
        partial = _write_partial(target, content)
        try:
            os.replace(partial, target)
        except BaseException:
            discard(partial)
            raise
    _sync_folder(target.parent)


def check_writable(path: Path) -> None:
    """Raise the OSError that writing `path` would raise, before hours of work are spent on what goes into it."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not _is_stream(target):
        with _named(path):
            discard(_write_partial(target, b""))


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors name the file the user asked for, not the temporary one beside it."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def discard(partial: Path) -> None:
    """Remove a temporary file that may be gone already."""
    with contextlib.suppress(OSError):
        partial.unlink()


def _is_stream(target: Path) -> bool:
    return target.exists() and not stat.S_ISREG(target.stat().st_mode) and not target.is_dir()


def _write_partial(target: Path, content: bytes) -> Path:
    """A temporary file beside `target` holding `content`, on disk, with the permissions `target` will have."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=SUFFIX)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(_mode(target))
    except BaseException:
        discard(partial)
        raise
    return partial


def _mode(target: Path) -> int:
    """Permissions of the file being replaced, or those the user's umask gives a new file (mkstemp gives 0600)."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the rename last through a power cut, on file systems that can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
