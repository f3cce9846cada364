"""What files carry beside their pixels, from every format to every other: kept, or said."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import Nearest
from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base

from hvae_sr.imaging.catalogue import AVIF
from hvae_sr.imaging.deep import DeepImage
from hvae_sr.imaging.files import read_file
from hvae_sr.imaging.metadata import metadata
from hvae_sr.upscaling.images import upscale_file

SIZE, SCALE = (40, 20), 2
IPTC_TAG = 33723
WITH_XMP = [".jpg", ".png", ".webp", ".tif", *([".avif"] if AVIF else [])]
WITHOUT_XMP = [".bmp", ".gif", ".ppm"]
WITH_IPTC = [".jpg", ".png", ".tif"]
WITHOUT_IPTC = [".webp", ".gif", ".bmp", *([".avif"] if AVIF else [])]


def record(dataset: int, text: bytes) -> bytes:
    return b"\x1c\x02" + bytes([dataset]) + len(text).to_bytes(2, "big") + text


IPTC = record(25, b"alps") + record(80, b"Nobody") + record(120, b"On the ridge")
RESOURCES = (  # another one with a name of odd length before it
    b"8BIM\x03\xf0\x03odd" + (3).to_bytes(4, "big") + b"abc\0"
    b"8BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC + bytes(len(IPTC) % 2)
)  # fmt: skip


def plain(mode: str = "RGB") -> Image.Image:
    return Image.new(mode, SIZE, 90 if mode == "L" else (90, 120, 60))


def jpeg_with_iptc(path: Path) -> Path:
    body = b"Photoshop 3.0\0" + RESOURCES
    plain().save(path, format="JPEG", extra=b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body)
    return path


def png_with_iptc(path: Path, content: bytes = RESOURCES) -> Path:
    """As ImageMagick writes it."""
    digits = content.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type iptc", f"\niptc\n{len(content):8}\n{lines}\n", zip=True)
    plain().save(path, pnginfo=info)
    return path


def tiff_with_iptc(path: Path, depth: type = np.uint8) -> Path:
    array = np.full((*SIZE[::-1], 3), 90, depth)
    tag = (IPTC_TAG, 7, len(IPTC), IPTC, True)
    tifffile.imwrite(path, array, photometric="rgb", metadata=None, extratags=[tag])
    return path


def upscaled(source: Path, suffix: str) -> tuple[Image.Image | DeepImage, list[str]]:
    target = source.with_name(f"out{suffix}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        upscale_file(source, [target], Nearest(SCALE))
    (image,) = read_file(target).images
    return image, [str(each.message) for each in caught]


def kept(source: Path, suffix: str, key: str) -> object:
    return metadata(upscaled(source, suffix)[0]).get(key)


SOURCES = {
    "jpeg": lambda folder: jpeg_with_iptc(folder / "in.jpg"),
    "png": lambda folder: png_with_iptc(folder / "in.png"),
    "png of records alone": lambda folder: png_with_iptc(folder / "in.png", IPTC),
    "tiff": lambda folder: tiff_with_iptc(folder / "in.tif"),
    "tiff of 16 bits": lambda folder: tiff_with_iptc(folder / "in.tif", np.uint16),
}


class TestIptc:
    @pytest.mark.parametrize("suffix", WITH_IPTC)
    @pytest.mark.parametrize("source", SOURCES)
    def test_it_is_kept(self, source: str, suffix: str, tmp_path: Path):
        assert kept(SOURCES[source](tmp_path), suffix, "iptc") == IPTC

    @pytest.mark.parametrize("suffix", WITHOUT_IPTC)
    @pytest.mark.parametrize("source", ["jpeg", "png", "tiff"])
    def test_or_its_loss_is_said(self, source: str, suffix: str, tmp_path: Path):
        image, said = upscaled(SOURCES[source](tmp_path), suffix)
        assert "iptc" not in metadata(image)
        assert [each for each in said if "without" in each and "IPTC" in each]

    def test_other_programs_read_it(self, tmp_path: Path):
        source = jpeg_with_iptc(tmp_path / "in.jpg")
        upscaled(source, ".jpg")
        with Image.open(tmp_path / "out.jpg") as image:
            assert image.info["photoshop"][1028] == IPTC
        upscaled(source, ".tif")
        with tifffile.TiffFile(tmp_path / "out.tif") as file:
            assert bytes(file.pages[0].tags[IPTC_TAG].value) == IPTC

    @pytest.mark.parametrize("text", ["", "\niptc\n 3\nzz", "\niptc\n 4\n3842494d", "iptc"])
    def test_damaged_texts_are_none(self, text: str, tmp_path: Path):
        info = PngImagePlugin.PngInfo()
        info.add_text("Raw profile type iptc", text)
        plain().save(tmp_path / "in.png", pnginfo=info)
        assert kept(tmp_path / "in.png", ".png", "iptc") is None


HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description'
TAIL = "</rdf:Description></rdf:RDF></x:xmpmeta>"
FORMS = {
    "elements": lambda name, value: (">", f"<{name}>{value}</{name}>"),
    "spaced elements": lambda name, value: (">", f"<{name}>\n {value} </{name}>"),
    "attributes": lambda name, value: (f' {name}="{value}"', ""),
    "single quotes": lambda name, value: (f" {name}='{value}'", ""),
    "spaced attributes": lambda name, value: (f' {name} = "{value}"', ""),
}


def packet(form: str, values: dict[str, object]) -> bytes:
    parts = [FORMS[form](name, value) for name, value in values.items()]
    head = "".join(part[0] for part in parts if part[0] != ">")
    return f"{HEAD}{head}>{''.join(part[1] for part in parts)}{TAIL}".encode()


def with_xmp(path: Path, xmp: bytes) -> Path:
    plain().save(path, format="JPEG", xmp=xmp)
    return path


def number(xmp: object, name: str) -> list[str]:
    assert isinstance(xmp, bytes)
    tag = re.escape(name)
    found = re.findall(
        rf"<{tag}>\s*([^<\s]*)\s*</|{tag}\s*=\s*[\"']\s*([^\"']*?)\s*[\"']", xmp.decode()
    )
    return ["".join(each) for each in found]


class TestXmp:
    @pytest.mark.parametrize("suffix", WITH_XMP)
    @pytest.mark.parametrize("form", FORMS)
    def test_sizes_follow_the_image(self, form: str, suffix: str, tmp_path: Path):
        values = {
            "tiff:ImageWidth": 40, "tiff:ImageLength": 20, "exif:PixelXDimension": 40,
            "exif:PixelYDimension": 20, "dc:format": "image/jpeg",
        }  # fmt: skip
        xmp = kept(with_xmp(tmp_path / "in.jpg", packet(form, values)), suffix, "xmp")
        assert number(xmp, "tiff:ImageWidth") == number(xmp, "exif:PixelXDimension") == ["80"]
        assert number(xmp, "tiff:ImageLength") == number(xmp, "exif:PixelYDimension") == ["40"]
        assert number(xmp, "dc:format") == ["image/jpeg"]

    @pytest.mark.parametrize("form", FORMS)
    def test_a_panorama_grows(self, form: str, tmp_path: Path):
        values = {
            "GPano:CroppedAreaImageWidthPixels": 40, "GPano:CroppedAreaImageHeightPixels": 20,
            "GPano:FullPanoWidthPixels": 100, "GPano:FullPanoHeightPixels": 50,
            "GPano:CroppedAreaLeftPixels": 30, "GPano:CroppedAreaTopPixels": 0,
            "GPano:PoseHeadingDegrees": 40, "GPano:ProjectionType": "equirectangular",
        }  # fmt: skip
        xmp = kept(with_xmp(tmp_path / "in.jpg", packet(form, values)), ".jpg", "xmp")
        for name, value in values.items():
            grown = value * SCALE if isinstance(value, int) and "Pixels" in name else value
            assert number(xmp, name) == [str(grown)]

    @pytest.mark.parametrize("form", FORMS)
    def test_places_without_a_size_of_their_own_go(self, form: str, tmp_path: Path):
        values = {"GPano:FullPanoWidthPixels": 100, "GPano:UsePanoramaViewer": "True"}
        xmp = kept(with_xmp(tmp_path / "in.jpg", packet(form, values)), ".jpg", "xmp")
        assert number(xmp, "GPano:FullPanoWidthPixels") == []
        assert number(xmp, "GPano:UsePanoramaViewer") == ["True"]

    @pytest.mark.parametrize("form", FORMS)
    def test_films_and_gain_maps_behind_the_image_are_gone(self, form: str, tmp_path: Path):
        values = {
            "GCamera:MotionPhoto": 1,
            "GCamera:MicroVideoOffset": 4_000_000,
            "hdrgm:Version": 1.0,
        }
        xmp = kept(with_xmp(tmp_path / "in.jpg", packet(form, values)), ".jpg", "xmp")
        assert [number(xmp, name) for name in values] == [[], [], []]

    @pytest.mark.parametrize("suffix", WITHOUT_XMP)
    def test_its_loss_is_said(self, suffix: str, tmp_path: Path):
        source = with_xmp(tmp_path / "in.jpg", packet("elements", {"dc:title": "x"}))
        image, said = upscaled(source, suffix)
        assert "xmp" not in metadata(image)
        assert [each for each in said if "without" in each and "XMP" in each]

    def test_what_a_jpeg_cannot_hold_is_said(self, tmp_path: Path):
        xmp = packet("elements", {"dc:description": "x" * 70_000})
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        plain().save(tmp_path / "in.png", pnginfo=info)
        image, said = upscaled(tmp_path / "in.png", ".jpg")
        assert "xmp" not in metadata(image) and [each for each in said if "XMP" in each]
        assert kept(tmp_path / "in.png", ".png", "xmp") == xmp


TEXTS = {"parameters": "a cat\nSteps: 20", "workflow": "{}", "Title": "Käse 日本"}


class TestTexts:
    def source(self, folder: Path) -> Path:
        info = PngImagePlugin.PngInfo()
        info.add_text("parameters", TEXTS["parameters"])
        info.add_text("workflow", TEXTS["workflow"], zip=True)
        info.add_itxt("Title", TEXTS["Title"], "ja", "題名")
        plain().save(folder / "in.png", pnginfo=info)
        return folder / "in.png"

    def test_a_png_keeps_them(self, tmp_path: Path):
        assert kept(self.source(tmp_path), ".png", "texts") == TEXTS

    @pytest.mark.parametrize("suffix", [s for s in (*WITH_XMP, *WITHOUT_XMP) if s != ".png"])
    def test_others_say_which_they_lack(self, suffix: str, tmp_path: Path):
        _, said = upscaled(self.source(tmp_path), suffix)
        assert [each for each in said if "the texts Title, parameters, workflow" in each]

    @pytest.mark.parametrize("suffix", [".jpg", ".gif", ".png"])
    def test_a_comment(self, suffix: str, tmp_path: Path):
        plain().save(tmp_path / "in.jpg", comment="On the rïdge".encode())
        image, said = upscaled(tmp_path / "in.jpg", suffix)
        found = metadata(image)
        assert said == []
        assert "On the rïdge" in (found.get("comment"), found.get("texts", {}).get("Comment"))

    @pytest.mark.parametrize("suffix", [".webp", ".tif", ".bmp"])
    def test_a_comment_that_is_lost(self, suffix: str, tmp_path: Path):
        plain().save(tmp_path / "in.jpg", comment=b"On the ridge")
        assert [each for each in upscaled(tmp_path / "in.jpg", suffix)[1] if "the comment" in each]


class TestExif:
    @pytest.mark.parametrize("suffix", WITH_XMP)
    def test_its_sizes_follow_the_image(self, suffix: str, tmp_path: Path):
        exif = Image.Exif()
        exif[Base.Make] = "Camera"
        exif[IFD.Exif] = {
            Base.ExifImageWidth: 40,
            Base.ExifImageHeight: 20,
            Base.ISOSpeedRatings: 100,
        }
        plain().save(tmp_path / "in.jpg", exif=exif)
        block = kept(tmp_path / "in.jpg", suffix, "exif")
        assert isinstance(block, bytes)
        found = Image.Exif()
        found.load(block)
        details = found.get_ifd(IFD.Exif)
        assert (details[Base.ExifImageWidth], details[Base.ExifImageHeight]) == (80, 40)
        assert found[Base.Make] == "Camera" and details[Base.ISOSpeedRatings] == 100

    @pytest.mark.parametrize("suffix", WITHOUT_XMP)
    def test_its_loss_is_said(self, suffix: str, tmp_path: Path):
        exif = Image.Exif()
        exif[Base.Make] = "Camera"
        plain().save(tmp_path / "in.jpg", exif=exif)
        assert [each for each in upscaled(tmp_path / "in.jpg", suffix)[1] if "EXIF" in each]
