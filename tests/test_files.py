"""Image files: broken ones are refused in one sentence, written ones appear whole."""

import json
import os
import re
import stat
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import png_bytes, random_images, smooth_images
from PIL import Image, features
from PIL.ExifTags import Base

from hvae_sr.errors import ImageError
from hvae_sr.imaging import files
from hvae_sr.imaging.decoding import Request, decode
from hvae_sr.imaging.files import file_record, is_image, open_image, save_image
from hvae_sr.imaging.metadata import LONGEST_RECORD, read_record
from hvae_sr.imaging.pixels import to_image, to_tensor
from hvae_sr.upscaling.sizes import fitted, parse_size, passes

RECORD = {"model": "hvae", "seed": 3, "temperature": 0.8, "name": 'ü "quoted"', "size": None}
WITH_EXIF = [s for s in files.SUFFIXES if s not in (".bmp", ".gif", ".ppm")]


def colours(mode: str = "RGB", size: tuple[int, int] = (5, 4)) -> Image.Image:
    """Noise in any 8-bit mode."""
    return to_image(random_images(1, 4, size[1], size[0])[0]).convert(mode)


class TestOpening:
    def test_every_suffix_that_is_written_is_read(self, tmp_path: Path):
        image = to_image(smooth_images(1, 3, 16, 16)[0])
        for suffix in files.SUFFIXES:
            save_image(image, tmp_path / f"picture{suffix}")
            again = open_image(tmp_path / f"picture{suffix}")
            assert (to_tensor(again) - to_tensor(image)).abs().mean() < 0.1
            assert is_image(tmp_path / f"picture{suffix}")
        assert not is_image(tmp_path / "absent.png")
        assert not is_image(tmp_path)

    def test_missing(self, tmp_path: Path):
        with pytest.raises(ImageError, match=r"absent\.png does not exist"):
            open_image(tmp_path / "absent.png")

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
        with pytest.raises(ImageError, match=r"odd\.png"):
            open_image(tmp_path / "odd.png")

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".gif"])
    @pytest.mark.parametrize("share", [0.5, 0.9])
    def test_cut_short(self, suffix: str, share: float, tmp_path: Path):
        path = tmp_path / f"cut{suffix}"
        to_image(random_images(1, 3, 64, 64)[0]).save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ImageError, match=path.name):
            open_image(path)

    @pytest.mark.parametrize("side", [10_000, 30_000, 2**31 - 1])
    def test_decompression_bombs_are_refused_at_the_header(self, side: int, tmp_path: Path):
        path = tmp_path / "bomb.png"
        path.write_bytes(png_bytes(side, side, bytes(10_000_000)))
        begin = time.monotonic()
        with pytest.raises(ImageError, match="pixels") as caught:
            open_image(path)
        assert "not an image" not in str(caught.value)
        assert time.monotonic() - begin < 3, "it was decoded"

    def test_the_limit_counts_pixels(self, tmp_path: Path):
        colours(size=(10, 10)).save(tmp_path / "in.png")
        assert open_image(tmp_path / "in.png", largest=100).size == (10, 10)
        with pytest.raises(ImageError, match="10x10: at most 99 pixels"):
            open_image(tmp_path / "in.png", largest=99)

    def test_animated_files_give_their_first_frame(self, tmp_path: Path):
        first, second = Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))
        for name in ("in.gif", "in.webp", "in.png"):
            first.save(tmp_path / name, save_all=True, append_images=[second])
            frame = open_image(tmp_path / name).convert("RGB")
            assert np.abs(np.subtract(frame.getpixel((1, 1)), (255, 0, 0))).max() <= 6
            save_image(frame, tmp_path / "out.png")
            assert getattr(Image.open(tmp_path / "out.png"), "n_frames", 1) == 1

    @pytest.mark.parametrize("kind", ["tif", "ppm"])
    def test_colours_of_sixteen_bits_are_read_with_eight_and_a_warning(
        self, kind: str, tmp_path: Path
    ):
        values = np.random.default_rng(0).integers(0, 65536, (4, 5, 3))
        path = tmp_path / f"deep.{kind}"
        path.write_bytes(b"P6 5 4 65535\n" + values.astype(">u2").tobytes())
        if kind == "tif":
            tifffile = pytest.importorskip("tifffile")
            tifffile.imwrite(path, values.astype(np.uint16), photometric="rgb")
        with pytest.warns(UserWarning, match=rf"deep\.{kind} has 16 bits a colour"):
            image = open_image(path)
        assert np.abs(np.asarray(image) - values / 257).max() <= 1

    def test_other_pictures_are_read_without_a_warning(self, tmp_path: Path):
        colours().save(tmp_path / "in.png")
        Image.fromarray(np.zeros((2, 2), dtype=np.uint16)).save(tmp_path / "deep.png")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            open_image(tmp_path / "in.png")
            assert open_image(tmp_path / "deep.png").mode == "I;16"

    def test_what_may_not_be_read_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        def refuse(*arguments: object, **options: object) -> None:
            raise PermissionError(13, "Permission denied")

        colours().save(tmp_path / "in.png")
        monkeypatch.setattr(Image, "open", refuse)
        with pytest.raises(ImageError, match=r"in\.png may not be read"):
            decode(Request(str(tmp_path / "in.png")))

    def test_a_folder_is_no_picture(self, tmp_path: Path):
        with pytest.raises(ImageError, match="folder"):
            open_image(tmp_path)

    def test_other_formats_are_not_even_tried(self, tmp_path: Path):
        """Pillow hands EPS to Ghostscript; a suffix must not bring that back."""
        colours().save(tmp_path / "in.eps")
        (tmp_path / "in.eps").rename(tmp_path / "in.png")
        with pytest.raises(ImageError, match="not an image"):
            open_image(tmp_path / "in.png")


class TestSaving:
    @pytest.mark.parametrize("name", ["out.txt", "out", "out.pdf", "out.eps"])
    def test_unknown_suffixes(self, name: str, tmp_path: Path):
        with pytest.raises(ImageError, match=r"\.png"):
            save_image(colours(), tmp_path / name)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".gif", ".ppm"])
    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_transparency_is_not_dropped_in_silence(self, mode: str, suffix: str, tmp_path: Path):
        with pytest.raises(ImageError, match=rf"out\{suffix} cannot hold transparency: use PNG"):
            save_image(colours(mode), tmp_path / f"out{suffix}")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".avif"])
    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_transparency_is_kept(self, mode: str, suffix: str, tmp_path: Path):
        if suffix not in files.SUFFIXES:
            pytest.skip("this Pillow has no AVIF")
        values = np.zeros((16, 16, 4), dtype=np.uint8)
        values[4:12, 4:12] = 255
        save_image(Image.fromarray(values).convert(mode), tmp_path / f"out{suffix}")
        alpha = open_image(tmp_path / f"out{suffix}").convert("RGBA").getchannel("A")
        assert np.abs(np.asarray(alpha).astype(int) - values[..., 3]).max() <= 3

    @pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".gif", ".ppm"])
    def test_an_opaque_alpha_channel_is_no_transparency(self, suffix: str, tmp_path: Path):
        save_image(Image.new("RGBA", (8, 8), (200, 100, 50, 255)), tmp_path / f"out{suffix}")
        saved = open_image(tmp_path / f"out{suffix}").convert("RGB")
        assert np.abs(np.asarray(saved).astype(int) - (200, 100, 50)).max() <= 3

    @pytest.mark.parametrize("suffix", files.SUFFIXES)
    def test_sixteen_bits_stay_or_are_rounded(self, suffix: str, tmp_path: Path):
        values = np.linspace(0, 65535, 1024).round().astype(np.uint16).reshape(32, 32)
        save_image(Image.fromarray(values), tmp_path / f"out{suffix}")
        saved = np.asarray(open_image(tmp_path / f"out{suffix}"))
        if suffix in (".png", ".tif", ".tiff", ".ppm"):
            assert (saved == values).all()
        else:
            saved = saved if saved.ndim == 2 else saved[..., 0]
            assert np.abs(saved - values / 257).mean() < (0.26 if suffix == ".bmp" else 1.5)

    @pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif"])
    def test_quality_buys_likeness_with_bytes(self, suffix: str, tmp_path: Path):
        if suffix not in files.SUFFIXES:
            pytest.skip("this Pillow has no AVIF")
        image = to_image(smooth_images(1, 3, 64, 64)[0])
        for quality in (20, 100):
            save_image(image, tmp_path / f"{quality}{suffix}", quality=quality)
        small, large = ((tmp_path / f"{q}{suffix}") for q in (20, 100))
        assert small.stat().st_size < large.stat().st_size
        if suffix == ".webp":
            assert open_image(large).tobytes() == image.tobytes()
        with pytest.raises(ImageError, match="1 to 100"):
            save_image(image, tmp_path / f"odd{suffix}", quality=101)

    def test_a_full_disk_leaves_the_old_picture(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        save_image(colours(), tmp_path / "out.png")
        before = (tmp_path / "out.png").read_bytes()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(ImageError, match="No space"):
            save_image(colours(size=(50, 50)), tmp_path / "out.png")
        assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
        assert (tmp_path / "out.png").read_bytes() == before

    @pytest.mark.parametrize("suffix", files.SUFFIXES)
    @pytest.mark.parametrize("size", [(70_000, 1), (1, 70_000)])
    def test_what_a_format_cannot_hold_is_one_sentence(
        self, size: tuple[int, int], suffix: str, tmp_path: Path
    ):
        """GIF's encoder raises struct.error, AVIF's RuntimeError."""
        path = tmp_path / f"out{suffix}"
        try:
            save_image(Image.new("RGB", size), path)
        except ImageError as error:
            assert re.search("could not be written|cannot hold", str(error)) and "\n" not in str(
                error
            )
            assert not list(tmp_path.iterdir())
        else:
            assert open_image(path).size == size

    @pytest.mark.parametrize(
        "error", [RuntimeError("odd"), KeyError("odd"), OverflowError(), SystemError(), TypeError()]
    )
    def test_whatever_an_encoder_raises_is_one_sentence(
        self, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def fail(*arguments: object, **options: object) -> None:
            raise error

        monkeypatch.setattr(Image.Image, "save", fail)
        with pytest.raises(ImageError, match=r"out\.png could not be written, its format does"):
            save_image(colours(), tmp_path / "out.png")
        assert not list(tmp_path.iterdir())

    def test_ctrl_c_leaves_nothing_behind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        def interrupt(descriptor: int) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_image(colours(), tmp_path / "out.png")
        assert not list(tmp_path.iterdir())

    def test_the_longest_names_a_disk_takes(self, tmp_path: Path):
        name = "n" * 251 + ".png"
        save_image(colours(), tmp_path / name)
        assert [path.name for path in tmp_path.iterdir()] == [name]

    def test_a_folder_that_is_not_there(self, tmp_path: Path):
        with pytest.raises(ImageError, match="absent"):
            save_image(colours(), tmp_path / "absent" / "out.png")

    def test_others_may_read_it_as_they_may_any_new_file(self, tmp_path: Path):
        (tmp_path / "plain").touch()
        save_image(colours(), tmp_path / "out.png")
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "out.png")]
        assert modes[0] == modes[1]


class TestRecord:
    @pytest.mark.parametrize("suffix", WITH_EXIF)
    def test_it_comes_back_beside_the_users_own_exif(self, suffix: str, tmp_path: Path):
        exif = Image.Exif()
        exif.update({Base.Artist: "Ada", Base.ProcessingSoftware: "another program"})
        image = colours(size=(16, 16))
        image.info["exif"] = exif.tobytes()
        save_image(image, tmp_path / f"out{suffix}", record=RECORD)
        saved = open_image(tmp_path / f"out{suffix}")
        assert read_record(saved) == file_record(tmp_path / f"out{suffix}") == RECORD
        assert saved.getexif()[Base.Artist] == "Ada"

    @pytest.mark.parametrize("suffix", [".bmp", ".gif", ".ppm"])
    def test_formats_without_exif_hold_none(self, suffix: str, tmp_path: Path):
        save_image(colours(), tmp_path / f"out{suffix}", record=RECORD)
        assert file_record(tmp_path / f"out{suffix}") is None

    def test_none_is_written_unasked(self, tmp_path: Path):
        save_image(colours(), tmp_path / "out.png")
        assert file_record(tmp_path / "out.png") is None
        assert not len(open_image(tmp_path / "out.png").getexif())

    @pytest.mark.parametrize(
        "text",
        [
            "darktable 4.8",
            "hvae_sr ",
            "hvae_sr {",
            "hvae_sr [1]",
            "hvae_sr 7",
            'hvae_sr {"a": 1} {"b": 2}',
            "hvae_sr " + "[" * 9000,
            "hvae_sr " + json.dumps({"a": "b" * LONGEST_RECORD}),
            7,
        ],
    )
    def test_what_others_or_attackers_wrote_is_none(self, text: object):
        image = colours()
        image.getexif()[Base.ProcessingSoftware] = text
        assert read_record(image) is None

    @pytest.mark.parametrize("length", range(0, 120, 7))
    def test_damaged_exif_is_none(self, length: int, tmp_path: Path):
        image = colours()
        save_image(image, tmp_path / "out.png", record={"a": "b" * 50})
        whole = open_image(tmp_path / "out.png").info["exif"]
        image.info["exif"] = whole[:length] + bytes([255] * 30)
        assert read_record(image) is None

    def test_no_picture_has_none(self, tmp_path: Path):
        (tmp_path / "text.png").write_bytes(b"text")
        assert file_record(tmp_path / "text.png") is None
        assert file_record(tmp_path / "absent.png") is None

    def test_too_long_a_record_is_refused(self, tmp_path: Path):
        with pytest.raises(ImageError, match="characters"):
            save_image(colours(), tmp_path / "a.png", record={"a": "b" * LONGEST_RECORD})


class TestSizes:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("4k", (3840, 2160)),
            ("8K", (7680, 4320)),
            (" 1080p ", (1920, 1080)),
            ("1920x1200", (1920, 1200)),
            ("640X480", (640, 480)),
            ("1×1", (1, 1)),
        ],
    )
    def test_names_and_numbers(self, text: str, size: tuple[int, int]):
        assert parse_size(text) == size

    @pytest.mark.parametrize(
        "text", ["", "5k", "x", "10x", "0x5", "-1x5", "1.5x2", "99999x5", "9" * 999 + "x1", "٣x٣"]
    )
    def test_anything_else_is_one_sentence(self, text: str):
        with pytest.raises(ImageError, match="use WIDTHxHEIGHT"):
            parse_size(text)

    @pytest.mark.parametrize(
        ("width", "height", "size", "expected"),
        [
            (16, 9, (3840, 2160), (3840, 2160)),
            (100, 100, (3840, 2160), (2160, 2160)),
            (300, 100, (900, 900), (900, 300)),
            (1080, 1920, (3840, 2160), (2160, 3840)),
            (480, 640, (1000, 640), (480, 640)),
            (100, 300, (90, 90), (100, 300)),
            (10_000, 1, (100, 100), (10_000, 1)),
            (1, 1, (7, 5), (5, 5)),
        ],
    )
    def test_fitted_is_the_largest_inside(self, width, height, size, expected):
        assert fitted(width, height, size) == expected

    @pytest.mark.parametrize(
        ("width", "target", "scale", "expected"),
        [
            (100, 50, 4, 0),
            (100, 100, 4, 0),
            (100, 101, 4, 1),
            (100, 400, 4, 1),
            (100, 401, 4, 1),
            (100, 501, 4, 2),
            (100, 6400, 4, 3),
            (125, 1000, 2, 3),
            (100, 2700, 3, 3),
        ],
    )
    def test_passes_are_as_few_as_suffice(self, width, target, scale, expected):
        assert passes(width, width, (target, target), scale) == expected

    def test_more_than_three_passes_are_refused(self):
        with pytest.raises(ImageError, match="6400x6400 in 3 passes"):
            passes(100, 100, (8001, 8001), 4)

    def test_a_model_that_does_not_enlarge_is_refused(self):
        with pytest.raises(ImageError, match="does not enlarge"):
            passes(10, 10, (20, 20), 1)


def test_avif_is_offered_where_pillow_has_it():
    assert (".avif" in files.SUFFIXES) == features.check("avif")
