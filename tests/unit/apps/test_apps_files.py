"""A result file is written whole or not at all."""

import errno
import os
import stat

import pytest

from exafleet.apps import files


def test_a_new_file_holds_the_text_and_has_the_permissions_of_any_new_file(tmp_path):
    other = tmp_path / "other"
    other.write_text("")
    files.write_text(tmp_path / "new", "é\n")
    assert (tmp_path / "new").read_text(encoding="utf-8") == "é\n"
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_permissions_of_a_replaced_file_stay(tmp_path):
    path = tmp_path / "old"
    path.write_text("old")
    path.chmod(0o640)
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch, where):
    path = tmp_path / "report.json"
    path.write_text("earlier")

    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fdopen = os.fdopen
    if where == "write":
        monkeypatch.setattr(files.os, "fdopen", lambda handle, mode: _Full(fdopen(handle, mode), full))
    else:
        monkeypatch.setattr(files.os, where, full)
    with pytest.raises(OSError, match=r"No space left.*report\.json"):
        files.write_text(path, "later" * 1000)
    monkeypatch.undo()
    assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


class _Full:
    """A file that cannot take a byte more."""

    def __init__(self, file, full):
        self.file, self.write = file, full

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.file.close()


def test_an_interrupt_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(_handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_text(tmp_path / "report.json", "x")
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write_text(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_cannot_be_written_is_told_beforehand(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    files.check_writable(tmp_path / "fine")
    assert not (tmp_path / "fine").exists()
    with pytest.raises(IsADirectoryError):
        files.check_writable(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.check_writable(tmp_path / "nowhere" / "file")
    with pytest.raises(NotADirectoryError):
        files.check_writable(file / "inside")
