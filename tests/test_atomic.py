"""Files and folders appear whole or not at all."""

import os
from pathlib import Path

import pytest

from hvae_sr.atomic import atomic_folder, atomic_write


def everything(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)


def test_a_file_appears_when_its_block_ends(tmp_path: Path):
    with atomic_write(tmp_path / "a.txt") as scratch:
        scratch.write_text("whole")
        assert not (tmp_path / "a.txt").exists()
        assert scratch.parent == tmp_path  # else a rename could cross file systems
    assert everything(tmp_path) == {"a.txt": "whole"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_file_whose_block_fails_stays_as_it_was(tmp_path: Path, error: type[BaseException]):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(error), atomic_write(tmp_path / "a.txt") as scratch:
        scratch.write_text("half")
        raise error
    assert everything(tmp_path) == {"a.txt": "before"}


def test_a_file_that_does_not_reach_the_disk_does_not_appear(tmp_path: Path, full_disk: None):
    with pytest.raises(OSError, match="No space"), atomic_write(tmp_path / "a.txt") as scratch:
        scratch.write_text("whole")
    assert everything(tmp_path) == {}


def test_a_folder_takes_its_files_together(tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "card").write_text("mine")
    (tmp_path / "model" / "weights").write_text("old")
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("new")
        (folder / "config").write_text("new")
        assert everything(tmp_path / "model") == {"card": "mine", "weights": "old"}
    assert everything(tmp_path) == {
        "model/card": "mine",
        "model/weights": "new",
        "model/config": "new",
    }


def test_a_folder_that_does_not_reach_the_disk_stays_as_it_was(tmp_path: Path, full_disk: None):
    with pytest.raises(OSError, match="No space"), atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("new")
    assert not list(tmp_path.iterdir())


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path):
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").touch(mode=0o600)
    (tmp_path / "plain").touch()
    assert (tmp_path / "model" / "weights").stat().st_mode == (tmp_path / "plain").stat().st_mode
