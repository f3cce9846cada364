"""Animations and files of several pages: every frame in time, or a sentence that counts."""

import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import Nearest
from PIL import Image

from hvae_sr import cli
from hvae_sr.imaging.catalogue import AVIF
from hvae_sr.imaging.files import read_file
from hvae_sr.upscaling.images import upscale_file

TIMES = [100, 40, 250, 60, 120]
HOLDERS = [".gif", ".png", ".webp", *([".avif"] if AVIF else [])]
STILLS = [".jpg", ".tif", ".bmp", ".ppm"]


def pairs(suffixes: list[str]) -> list[tuple[str, str]]:
    """Of source and target."""
    return list(itertools.product(suffixes, repeat=2))


def frames(count: int = len(TIMES), alpha: bool = False) -> list[Image.Image]:
    """A bright bar that moves to the right by four columns a frame."""
    found = []
    for index in range(count):
        array = np.full((16, 4 * count, 4), (30, 90, 60, 0 if alpha else 255), np.uint8)
        array[:, 4 * index : 4 * index + 4] = (230, 120, 40, 255)
        found.append(Image.fromarray(array) if alpha else Image.fromarray(array[..., :3]))
    return found


def animation(path: Path, times: Sequence[int] = TIMES, **options: Any) -> Path:
    alpha = options.pop("alpha", False)
    first, *rest = frames(len(times), alpha)
    first.save(path, save_all=True, append_images=rest, duration=list(times), **options)
    return path


def upscaled(source: Path, suffix: str) -> tuple[Path, list[str]]:
    target = source.with_name(f"out{suffix}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        upscale_file(source, [target], Nearest(2))
    return target, [str(each.message) for each in caught]


def bars(path: Path) -> list[int]:
    """Where the bar of each frame begins."""
    found = read_file(path, frames=True).images
    arrays = (np.asarray(image.convert("RGB"))[8, :, 0] for image in found)  # type: ignore[union-attr]
    return [int(np.argmax(row > 130)) for row in arrays]


@pytest.mark.parametrize(("source", "target"), pairs(HOLDERS))
def test_frames_and_times_are_kept(source: str, target: str, tmp_path: Path):
    written, said = upscaled(animation(tmp_path / f"in{source}"), target)
    assert said == []
    assert read_file(written, frames=True).durations == TIMES
    assert bars(written) == [8 * index for index in range(len(TIMES))]


@pytest.mark.parametrize(("source", "target"), pairs([".png", ".webp"]))
def test_transparent_frames_leave_nothing_behind(source: str, target: str, tmp_path: Path):
    options: dict[str, Any] = {".png": {"blend": 0}, ".webp": {"lossless": True}}[source]
    written, _ = upscaled(animation(tmp_path / f"in{source}", alpha=True, **options), target)
    for index, image in enumerate(read_file(written, frames=True).images):
        assert isinstance(image, Image.Image)
        alpha = np.asarray(image.getchannel("A"))[16]
        assert (alpha[8 * index + 2 : 8 * index + 6] > 200).all()
        assert (np.delete(alpha, np.s_[max(0, 8 * index - 4) : 8 * index + 12]) < 50).all()


@pytest.mark.parametrize("target", STILLS)
@pytest.mark.parametrize("source", HOLDERS)
def test_dropped_frames_are_counted(source: str, target: str, tmp_path: Path):
    written, said = upscaled(animation(tmp_path / f"in{source}"), target)
    assert [each for each in said if "holds 5 frames" in each and "4 dropped" in each]
    assert read_file(written).images[0].size == (40, 32)


def test_dropped_frames_are_said_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("hvae_sr.cli.upscale.loaded", lambda *given: Nearest(2))
    source = animation(tmp_path / "in.gif")
    assert cli.run(["upscale", str(source), str(tmp_path / "out.jpg")]) == 0
    assert "in.gif holds 5 frames" in capsys.readouterr().err


@pytest.mark.parametrize("duration", [33, 17, 25])
def test_a_gif_s_coarse_times_do_not_add_up(duration: int, tmp_path: Path):
    written, _ = upscaled(animation(tmp_path / "in.webp", [duration] * 12), ".gif")
    times = read_file(written, frames=True).durations
    assert len(times) == 12 and abs(sum(times) - 12 * duration) <= 5


@pytest.mark.parametrize("times", [1, 3, 0])
@pytest.mark.parametrize(("source", "target"), pairs([".gif", ".png", ".webp"]))
def test_it_is_shown_as_often(source: str, target: str, times: int, tmp_path: Path):
    options = {"loop": times}
    if source == ".gif":  # which counts the times after the first, and says nothing of one
        options = {} if times == 1 else {"loop": times and times - 1}
    written, _ = upscaled(animation(tmp_path / f"in{source}", **options), target)
    with Image.open(written) as image:
        found = image.info.get("loop")
    if target == ".gif":
        found = 1 if found is None else found and found + 1
    assert found == times


def test_frames_alike_keep_their_time(tmp_path: Path):
    first, second, *_ = frames()
    rest = [first, second, second, first]
    first.save(tmp_path / "in.webp", save_all=True, append_images=rest, duration=TIMES)
    for target in HOLDERS:
        written, _ = upscaled(tmp_path / "in.webp", target)
        assert sum(read_file(written, frames=True).durations) == sum(TIMES)


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
def test_pages_are_counted_whoever_reads_them(mode: str, tmp_path: Path):
    array = np.arange(20 * 16, dtype=np.uint16).reshape(16, 20) * 100
    page = Image.fromarray(array)
    if mode != "I;16":
        page = Image.fromarray((array // 256).astype(np.uint8)).convert(mode)
    rest = [page.copy(), page.copy()]
    page.save(tmp_path / "in.tif", save_all=True, append_images=rest)
    _, said = upscaled(tmp_path / "in.tif", ".tif")
    assert [each for each in said if "holds 3 pages" in each and "2 dropped" in each]


def test_reduced_pages_are_none_of_them(tmp_path: Path):
    array = np.zeros((16, 20, 3), np.uint8)
    with tifffile.TiffWriter(tmp_path / "in.tif") as file:
        for reduced in (0, 1, 0, 1):
            file.write(array, photometric="rgb", subfiletype=reduced, metadata=None)
    _, said = upscaled(tmp_path / "in.tif", ".png")
    assert [each for each in said if "holds 2 pages" in each and "1 dropped" in each]
