"""What a format cannot hold is refused before the network runs."""

import warnings
from pathlib import Path

import pytest
import torch
from conftest import Nearest
from PIL import Image
from PIL.ExifTags import Base

from hvae_sr import UpscaleOptions
from hvae_sr.errors import ImageError
from hvae_sr.imaging.catalogue import AVIF
from hvae_sr.upscaling.images import upscale_file


class NotYet(Nearest):
    """A model whose draws fail the test."""

    def draw(self, *given: object, **options: object) -> torch.Tensor:
        pytest.fail("the model ran before the refusal")


def image(path: Path, size: tuple[int, int], mode: str = "L", **options: object) -> Path:
    Image.new(mode, size).save(path, **options)
    return path


def refused(source: Path, target: Path, match: str, size: tuple[int, int] | None = None) -> None:
    with pytest.raises(ImageError, match=match) as caught:
        upscale_file(source, [target], NotYet(2), UpscaleOptions(size=size))
    assert "\n" not in str(caught.value) and not target.exists()


SIDES = {".webp": 16383, ".jpg": 65500, ".gif": 65535, **({".avif": 32768} if AVIF else {})}


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("suffix", SIDES)
def test_one_pass(suffix: str, upright: bool, tmp_path: Path):
    size = (SIDES[suffix] // 2 + 1, 1)
    source = image(tmp_path / "in.png", size[::-1] if upright else size)
    refused(source, tmp_path / f"out{suffix}", rf"at most {SIDES[suffix]} a side.*PNG")


@pytest.mark.parametrize("suffix", [".webp", *([".avif"] if AVIF else [])])
@pytest.mark.parametrize("passes", [1, 2, 3])
def test_a_size_of_several_passes(passes: int, suffix: str, tmp_path: Path):
    long = SIDES[suffix] + 100
    source = image(tmp_path / "in.png", (long // 2**passes + 1, 8))
    size = (min(long, 65536), 65536)
    refused(source, tmp_path / f"out{suffix}", f"at most {SIDES[suffix]} a side", size)


def test_the_final_size_counts_not_that_of_the_passes(tmp_path: Path):
    source = image(tmp_path / "in.png", (5000, 2))
    options = UpscaleOptions(size=(14_000, 14_000))  # on the way: 20,000
    upscale_file(source, [tmp_path / "out.webp"], Nearest(2), options)
    assert Image.open(tmp_path / "out.webp").width == 14_000


def test_a_size_out_of_reach(tmp_path: Path):
    source = image(tmp_path / "in.png", (4, 4))
    refused(source, tmp_path / "out.png", "at most 32x32 in 3 passes", (4000, 4000))


def test_images_on_their_side_are_measured_upright(tmp_path: Path):
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    source = image(tmp_path / "in.jpg", (400, 9000), exif=exif)  # shown as 9000x400
    refused(source, tmp_path / "out.webp", "18000x800 pixels")
    # Turned, the screen would hold 86x1920 of what is stored; of what is shown, 1920x85.
    refused(source, tmp_path / "out.webp", "18000x800", (18_000, 2000))


def test_what_is_larger_already_is_measured_upright(tmp_path: Path):
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    source = image(tmp_path / "in.png", (100, 60), exif=exif)  # shown as 60x100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        upscale_file(source, [tmp_path / "out.png"], Nearest(2), UpscaleOptions(size=(90, 110)))
    assert Image.open(tmp_path / "out.png").size == (66, 110)
    with pytest.warns(UserWarning, match="keeps its size"):
        upscale_file(source, [tmp_path / "out.png"], Nearest(2), UpscaleOptions(size=(70, 90)))


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".gif", ".ppm"])
def test_transparency(suffix: str, tmp_path: Path):
    refused(image(tmp_path / "in.png", (8, 8), "RGBA"), tmp_path / f"out{suffix}", "transparency")


def test_one_of_several_frames_is_transparent(tmp_path: Path):
    first, second = Image.new("RGBA", (8, 8), (9, 9, 9, 255)), Image.new("RGBA", (8, 8))
    first.save(tmp_path / "in.png", save_all=True, append_images=[second])
    refused(tmp_path / "in.png", tmp_path / "out.gif", "transparency")
