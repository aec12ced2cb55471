"""What the operating system says, as the error tree says it."""

from __future__ import annotations

import errno
import os

import pytest

from provision.errors import ExitCode, UnsafePath, VolumeError, VolumeFull, VolumeReadOnly, VolumeTrouble
from provision.volume.faults import volume_fault
from provision.volume.files import File
from provision.volume.mount import Volume

WRITING = [
    (errno.ENOSPC, VolumeFull),
    (errno.EDQUOT, VolumeFull),
    (errno.ENXIO, VolumeFull),
    (errno.EIO, VolumeTrouble),
    (errno.ESTALE, VolumeTrouble),
    (errno.EROFS, VolumeReadOnly),
    (errno.ENOTCONN, VolumeTrouble),
    (errno.ECONNABORTED, VolumeTrouble),
    (errno.ETIMEDOUT, VolumeTrouble),
    (errno.EHOSTDOWN, VolumeTrouble),
    (errno.EACCES, VolumeError),
    (errno.EPERM, VolumeError),
    (errno.EBUSY, VolumeError),
    (errno.EMFILE, VolumeError),
    (errno.ENFILE, VolumeError),
    (errno.ELOOP, UnsafePath),
    (errno.ENOTDIR, UnsafePath),
    (errno.EFBIG, VolumeError),
]
READING = [
    (errno.ENXIO, VolumeTrouble),
    (errno.EIO, VolumeTrouble),
    (errno.ENOTCONN, VolumeTrouble),
    (errno.EACCES, VolumeError),
    (errno.EROFS, VolumeError),
]


@pytest.mark.parametrize(("number", "expected"), WRITING)
def test_each_errno_of_a_write_has_one_meaning(number, expected):
    fault = volume_fault(OSError(number, ""), "/volume/models/a")
    assert type(fault) is expected
    assert str(fault) == f"/volume/models/a: {os.strerror(number)}"


@pytest.mark.parametrize(("number", "expected"), READING)
def test_what_cannot_be_read_is_never_called_full_or_read_only(number, expected):
    assert type(volume_fault(OSError(number, ""), "/volume/a", reading=True)) is expected


@pytest.mark.parametrize("number", [0, *errno.errorcode])
@pytest.mark.parametrize("reading", [True, False])
def test_whatever_goes_wrong_there_is_a_next_step(number, reading):
    fault = volume_fault(OSError(number, ""), "/volume/a", reading=reading)
    assert fault.hint
    assert fault.exit_code is ExitCode.VOLUME


@pytest.mark.parametrize(
    ("reading", "hint"), [(False, "a user who may write there"), (True, "a user who may read there")]
)
def test_who_may_not_is_told_to_be_someone_who_may(reading, hint):
    # Not "read-only": another folder of the same volume may well be theirs.
    assert hint in volume_fault(OSError(errno.EACCES, ""), "/volume/a", reading=reading).hint


def test_a_full_volume_says_that_the_partial_is_kept_and_how_to_resume():
    hint = volume_fault(OSError(errno.EDQUOT, ""), "/volume/a").hint
    assert "the partial is kept" in hint
    assert "run the same command again: it resumes" in hint


# A quota that only fsync or close reports needs a MooseFS or a shim below the C library; in plain `make test` the
# system call itself is made to fail. Everything above it is real.
@pytest.mark.parametrize(("call", "method"), [("fsync", "sync"), ("close", "close"), ("pwrite", "write_at")])
@pytest.mark.parametrize("number", [errno.EDQUOT, errno.ENOSPC])
def test_a_quota_is_noticed_whichever_call_reports_it(tmp_path, monkeypatch, call, method, number):
    def failing(*_):
        raise OSError(number, "quota")

    with Volume.open(str(tmp_path)) as volume:
        file = volume.root.made_file("a")
        fd = file._fd
        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing)
            with pytest.raises(VolumeFull):
                getattr(file, method)(*((0, b"x") if method == "write_at" else ()))
        os.close(fd)


def test_a_write_that_takes_less_is_asked_again_for_the_rest(tmp_path, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:3], at))
    with Volume.open(str(tmp_path)) as volume, volume.root.made_file("a") as file:
        file.write_at(2, b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"\0\x000123456789"


def test_a_read_that_gives_less_is_asked_again_for_the_rest(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"0123456789")
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, at: read(fd, min(length, 3), at))
    with Volume.open(str(tmp_path)) as volume, volume.root.open_file("a") as file:
        assert file.read_at(2, 100) == b"23456789"


def test_a_file_system_that_takes_nothing_does_not_hang_us(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)
    with Volume.open(str(tmp_path)) as volume, volume.root.made_file("a") as file, pytest.raises(VolumeTrouble):
        file.write_at(0, b"x")


def test_the_first_error_is_told_though_close_fails_too(tmp_path, monkeypatch):
    def failing(_):
        raise OSError(errno.EDQUOT, "quota")

    with Volume.open(str(tmp_path)) as volume:
        file = volume.root.made_file("a")
        fd = file._fd
        with monkeypatch.context() as patched:
            patched.setattr(os, "close", failing)
            with pytest.raises(KeyError), file:
                raise KeyError
        os.close(fd)


def test_a_mode_that_the_file_system_refuses_is_let_be(tmp_path, monkeypatch):
    def refusing(*_):
        raise PermissionError(errno.EPERM, "chmod")

    monkeypatch.setattr(os, "fchmod", refusing)
    with Volume.open(str(tmp_path)) as volume, volume.root.made_file("a") as file:
        file.set_mode(0o644)
    assert isinstance(file, File)
