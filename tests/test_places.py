"""Found before the work: outputs that cannot be written, and inputs that would be written over."""

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from conftest import Nearest
from PIL import Image

from hvae_sr.atomic import atomic_write
from hvae_sr.errors import ImageError
from hvae_sr.upscaling import folders
from hvae_sr.upscaling.folders import upscale_folder
from hvae_sr.upscaling.names import kept_suffix
from hvae_sr.upscaling.preflight import check_folder, check_places, identities

Usage = namedtuple("Usage", "total used free")


class Unreached(Nearest):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        pytest.fail("the model ran")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        Image.new("RGB", (4, 3), "red").save(folder / name)
    return folder


@pytest.mark.parametrize("link", ["hardlink_to", "symlink_to"])
def test_an_output_that_is_an_input_by_another_name_is_refused(link: str, album: Path) -> None:
    other = album / "other.png"
    getattr(other, link)(album / "a.png")
    with pytest.raises(ImageError, match=r"other\.png is the input .*a\.png"):
        check_places([other], identities([album / "a.png"]))
    check_places([album / "new.png"], identities([album / "a.png"]))


def test_a_folders_output_that_links_to_an_input_is_not_written(album: Path) -> None:
    out = album.parent / "out"
    out.mkdir()
    (out / "a.png").symlink_to(album / "a.png")
    before = (album / "a.png").read_bytes()
    report = upscale_folder(album, out, Nearest(2), overwrite=True)
    assert [each.status for each in report.outcomes] == ["failed", "written"]
    assert (album / "a.png").read_bytes() == before


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"has 304 bytes, and \d+ are the most"):
        check_places([tmp_path / f"{'ä' * 150}.png"], {})


def test_a_folder_that_may_not_be_written_to(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ImageError, match="may not be written to: change its permissions"):
        upscale_folder(album, album.parent / "new" / "out", Unreached(2))
    assert not (album.parent / "new").exists()


def test_a_disk_without_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 90, 10))
    with pytest.raises(ImageError, match="has 10 bytes left: make room"):
        check_folder(tmp_path)


def test_a_folder_in_it_that_cannot_be_read_is_reported(
    album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    report = upscale_folder(album, album.parent / "out", Nearest(2))
    assert report.unreadable == [album / "deep"]
    assert report.count("written") == 1 and not report.complete


def test_outputs_that_vanish_during_the_run_are_failures(album: Path) -> None:
    out = album.parent / "out"

    def remove(outcome: folders.Outcome, total: int) -> None:
        if outcome.source.name == "a.png":
            shutil.rmtree(out)

    report = upscale_folder(album, out, Nearest(2), progress=remove)
    assert [each.status for each in report.outcomes] == ["failed", "written"]
    assert "has vanished" in report.outcomes[0].reason and not report.complete


def test_a_folder_takes_files_without_a_suffix_by_their_content(album: Path) -> None:
    shutil.copy(album / "a.png", album / "scan")
    (album / "LICENSE").write_text("text")
    report = upscale_folder(album, album.parent / "out", Nearest(2))
    assert (album.parent / "out" / "scan.png").is_file()
    assert report.others == [album / "LICENSE"]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.jfif", ".jpg"), ("a.JPE", ".jpg"), ("a.mpo", ".jpg"), ("a.apng", ".png"), ("a", ".png")],
)
def test_other_names_of_a_format_become_its_usual_one(name: str, suffix: str) -> None:
    assert kept_suffix(Path(name)) == suffix


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_fsync_is_no_error(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with atomic_write(tmp_path / "a") as scratch:
        scratch.write_text("whole")
    assert (tmp_path / "a").read_text() == "whole"
