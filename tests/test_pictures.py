"""Pillow pictures of every mode, through tensors and back, and picture files that are broken."""

import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Nearest, png_bytes, random_pictures, shaken, smooth_pictures, tiny_hvae
from PIL import Image, ImageCms

from hvae_sr.degradation import enlarge
from hvae_sr.errors import PictureError
from hvae_sr.inference import files
from hvae_sr.inference.files import is_picture, open_picture, save_picture
from hvae_sr.pictures import enlarged, join, split, to_image, to_tensor

ORIENTATION = 0x0112


def colours(mode: str = "RGB", size: tuple[int, int] = (5, 4)) -> Image.Image:
    """A picture whose pixels all differ, in any 8-bit mode."""
    values = (random_pictures(1, 4, size[1], size[0])[0] * 255).byte().permute(1, 2, 0).numpy()
    if mode == "CMYK":
        return Image.fromarray(values, "CMYK")
    image = Image.fromarray(values)
    if mode == "P":
        return image.convert("RGB").quantize(16)
    return image.convert(mode)


def rgba(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGBA")).astype(int)


class TestModes:
    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            ("1", "L"),
            ("L", "L"),
            ("LA", "LA"),
            ("P", "RGB"),
            ("RGB", "RGB"),
            ("RGBA", "RGBA"),
            ("CMYK", "RGB"),
            ("YCbCr", "RGB"),
            ("HSV", "RGB"),
        ],
    )
    def test_there_and_back(self, mode: str, expected: str):
        image = colours(mode)
        tensor, rest = split(image)
        assert tensor.shape == (1, 3, 4, 5)
        assert tensor.dtype == torch.float32
        assert tensor.min() >= 0 and tensor.max() <= 1
        back = join(tensor[0], rest)
        assert (back.mode, back.size) == (expected, image.size)
        assert (
            np.abs(rgba(back) - rgba(image.convert("RGB") if mode == "CMYK" else image)).max() == 0
        )

    @pytest.mark.parametrize("mode", ["P", "L", "RGB"])
    def test_a_transparent_colour_becomes_alpha(self, mode: str, tmp_path: Path):
        image = colours(mode)
        transparent = image.getpixel((2, 1))
        image.save(tmp_path / "in.png", transparency=transparent)
        image = open_picture(tmp_path / "in.png")
        tensor, rest = split(image)
        back = join(tensor[0], rest)
        assert back.mode == ("LA" if mode == "L" else "RGBA")
        assert back.getpixel((2, 1))[-1] == 0
        assert np.abs(rgba(back) - rgba(image)).max() == 0

    def test_grey_stays_grey_under_a_model_with_colour(self):
        larger = shaken(tiny_hvae()).upscale(colours("L"), temperature=1.0, seed=0)
        assert (larger.mode, larger.size) == ("L", (20, 16))

    def test_alpha_is_enlarged_beside_the_colours(self):
        image = colours("RGBA")
        larger = Nearest(2).upscale(image)
        assert (larger.mode, larger.size) == ("RGBA", (10, 8))
        alpha = torch.from_numpy(np.array(image.getchannel("A"))).float()[None, None] / 255
        expected = (enlarge(alpha, 2).clamp(0, 1) * 255).round()[0, 0]
        assert np.abs(np.asarray(larger.getchannel("A")) - expected.numpy()).max() == 0
        reference = np.asarray(image.convert("RGB")).repeat(2, 0).repeat(2, 1)
        assert (np.asarray(larger)[..., :3] == reference).all()

    def test_opaque_stays_opaque(self):
        tensor, rest = split(Image.new("RGBA", (3, 3), (10, 20, 30, 255)))
        larger = join(enlarge(tensor, 4)[0], enlarged(rest, 4))
        assert larger.getcolors() == [(144, (10, 20, 30, 255))]

    @pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
    def test_sixteen_bits_stay_sixteen(self, mode: str):
        values = np.random.default_rng(0).integers(0, 65536, (4, 5))
        dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
        image = Image.frombytes(mode, (5, 4), values.astype(dtype).tobytes())
        larger = Nearest(3).upscale(image)
        assert (larger.mode, larger.size) == ("I;16", (15, 12))
        assert np.abs(np.asarray(larger).astype(int) - values.repeat(3, 0).repeat(3, 1)).max() <= 1

    def test_sixteen_bits_survive_the_disk(self, tmp_path: Path):
        values = np.arange(0, 60000, 3000, dtype=np.uint16).reshape(4, 5)
        Image.fromarray(values).save(tmp_path / "in.png")
        save_picture(Nearest(2).upscale(open_picture(tmp_path / "in.png")), tmp_path / "out.png")
        saved = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
        assert np.abs(saved - values.repeat(2, 0).repeat(2, 1)).max() <= 1

    def test_floating_point_pictures(self):
        values = np.array([[0.0, 0.25], [1.0, 2.0], [-1.0, np.nan]], dtype=np.float32)
        larger = Nearest(2).upscale(Image.fromarray(values))
        assert larger.mode == "L"
        assert np.asarray(larger)[::2, ::2].tolist() == [[0, 64], [255, 255], [0, 0]]

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
    def test_a_single_pixel(self, mode: str):
        assert Nearest(4).upscale(Image.new(mode, (1, 1))).size == (4, 4)


class TestMetadata:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_pictures_are_turned_upright(self, orientation: int, tmp_path: Path):
        image = colours()
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        image.save(tmp_path / "in.png", exif=exif)
        stored = np.asarray(image)
        upright = {
            1: stored,
            2: stored[:, ::-1],
            3: np.rot90(stored, 2),
            4: stored[::-1],
            5: stored.transpose(1, 0, 2),
            6: np.rot90(stored, -1),
            7: np.rot90(stored, 2).transpose(1, 0, 2),
            8: np.rot90(stored, 1),
        }[orientation]
        larger = Nearest(2).upscale(open_picture(tmp_path / "in.png"))
        assert (np.asarray(larger)[::2, ::2] == upright).all()
        save_picture(larger, tmp_path / "out.png")
        again = Image.open(tmp_path / "out.png")
        assert again.getexif().get(ORIENTATION, 1) == 1, "viewers would turn it a second time"

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
    def test_profile_and_resolution_are_kept(self, suffix: str, tmp_path: Path):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        colours().save(tmp_path / "in.png", icc_profile=profile, dpi=(300, 300))
        save_picture(
            Nearest(2).upscale(open_picture(tmp_path / "in.png")), tmp_path / f"out{suffix}"
        )
        saved = Image.open(tmp_path / f"out{suffix}")
        assert saved.info["icc_profile"] == profile
        if suffix != ".webp":  # which has no place for it
            assert [round(float(d)) for d in saved.info["dpi"]] == [300, 300]

    def test_a_profile_of_inks_is_dropped(self):
        image = colours("CMYK")
        image.info["icc_profile"] = b"inks"
        assert "icc_profile" not in Nearest(2).upscale(image).info

    def test_the_picture_handed_in_is_left_alone(self):
        image = colours("RGBA")
        before = image.tobytes()
        Nearest(2).upscale(image)
        assert (image.tobytes(), image.size) == (before, (5, 4))


class TestQuantisation:
    def test_every_value_of_a_channel_survives(self):
        values = np.arange(256, dtype=np.uint8).reshape(16, 16)
        image = Image.fromarray(np.stack([values, values[::-1], values.T], axis=-1))
        tensor, rest = split(image)
        assert join(tensor[0], rest).tobytes() == image.tobytes()
        assert to_image(tensor[0]).tobytes() == image.tobytes()

    @pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (1, 128, 254)])
    def test_constant_pictures_stay_constant(self, colour: tuple[int, int, int]):
        image = Image.new("RGB", (3, 2), colour)
        assert Nearest(3).upscale(image).getcolors() == [(54, colour)]
        consistent = Nearest(3, "gaussian").upscale(image, consistent=True)
        assert np.abs(np.asarray(consistent).astype(int) - colour).max() <= 1

    def test_out_of_range_is_clipped(self):
        picture = torch.tensor([-1.0, 0.5, 7.0]).view(1, 1, 3)
        assert np.asarray(to_image(picture)).tolist() == [[0, 128, 255]]


class TestOpening:
    def test_every_suffix_that_is_written_is_read(self, tmp_path: Path):
        image = to_image(smooth_pictures(1, 3, 16, 16)[0])
        for suffix in files.SUFFIXES:
            save_picture(image, tmp_path / f"picture{suffix}")
            again = open_picture(tmp_path / f"picture{suffix}")
            assert (to_tensor(again) - to_tensor(image)).abs().mean() < 0.1
            assert is_picture(tmp_path / f"picture{suffix}")
        assert not is_picture(tmp_path / "absent.png")
        assert not is_picture(tmp_path)

    def test_missing(self, tmp_path: Path):
        with pytest.raises(PictureError, match=r"absent\.png is not there"):
            open_picture(tmp_path / "absent.png")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"hello",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"%PDF-1.7",
            b"GIF89a",
            bytes(64),
        ],
    )
    def test_no_picture(self, content: bytes, tmp_path: Path):
        (tmp_path / "odd.png").write_bytes(content)
        with pytest.raises(PictureError, match=r"odd\.png"):
            open_picture(tmp_path / "odd.png")

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".gif"])
    @pytest.mark.parametrize("share", [0.5, 0.9])
    def test_cut_short(self, suffix: str, share: float, tmp_path: Path):
        path = tmp_path / f"cut{suffix}"
        to_image(random_pictures(1, 3, 64, 64)[0]).save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(PictureError, match=path.name):
            open_picture(path)

    @pytest.mark.parametrize("side", [10_000, 30_000, 2**31 - 1])
    def test_decompression_bombs_are_refused_at_the_header(self, side: int, tmp_path: Path):
        path = tmp_path / "bomb.png"
        path.write_bytes(png_bytes(side, side, bytes(10_000_000)))
        begin = time.monotonic()
        with pytest.raises(PictureError, match="pixels") as caught:
            open_picture(path)
        assert "not a picture" not in str(caught.value)
        assert time.monotonic() - begin < 3, "it was decoded"

    def test_the_limit_counts_pixels(self, tmp_path: Path):
        colours(size=(10, 10)).save(tmp_path / "in.png")
        assert open_picture(tmp_path / "in.png", largest=100).size == (10, 10)
        with pytest.raises(PictureError, match="10x10: at most 99 pixels"):
            open_picture(tmp_path / "in.png", largest=99)

    def test_other_formats_are_not_even_tried(self, tmp_path: Path):
        """Pillow hands EPS to Ghostscript; a suffix must not bring that back."""
        colours().save(tmp_path / "in.eps")
        (tmp_path / "in.eps").rename(tmp_path / "in.png")
        with pytest.raises(PictureError, match="not a picture"):
            open_picture(tmp_path / "in.png")


class TestSaving:
    @pytest.mark.parametrize("name", ["out.txt", "out", "out.pdf", "out.eps"])
    def test_unknown_suffixes(self, name: str, tmp_path: Path):
        with pytest.raises(PictureError, match=r"\.png"):
            save_picture(colours(), tmp_path / name)
        assert not list(tmp_path.iterdir())

    def test_modes_a_format_cannot_hold(self, tmp_path: Path):
        with pytest.raises(PictureError, match=r"out\.jpg"):
            save_picture(colours("RGBA"), tmp_path / "out.jpg")
        assert not list(tmp_path.iterdir())

    def test_a_full_disk_leaves_the_old_picture(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        save_picture(colours(), tmp_path / "out.png")
        before = (tmp_path / "out.png").read_bytes()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(PictureError, match="No space"):
            save_picture(colours(size=(50, 50)), tmp_path / "out.png")
        assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
        assert (tmp_path / "out.png").read_bytes() == before

    def test_a_folder_that_is_not_there(self, tmp_path: Path):
        with pytest.raises(PictureError, match="absent"):
            save_picture(colours(), tmp_path / "absent" / "out.png")

    def test_others_may_read_it_as_they_may_any_new_file(self, tmp_path: Path):
        (tmp_path / "plain").touch()
        save_picture(colours(), tmp_path / "out.png")
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "out.png")]
        assert modes[0] == modes[1]
