"""What files say of their colours: outputs look the same, by arithmetic of its own."""

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import Nearest
from PIL import Image, ImageCms

from hvae_sr.errors import ImageError
from hvae_sr.imaging.catalogue import AVIF
from hvae_sr.imaging.deep import DeepImage
from hvae_sr.imaging.files import read_file
from hvae_sr.upscaling.images import upscale_file

SIDE, SCALE = 16, 2
PATCHES = np.array([[150, 130, 120], [110, 140, 120], [120, 125, 150], [60, 60, 60]], np.uint8)
ADOBE = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
APPLE = (0.3127, 0.329, 0.625, 0.34, 0.28, 0.595, 0.155, 0.07)
PROPHOTO = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)
P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
BT2020 = (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)
SRGB = (0.3127, 0.329, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
TARGETS = [".png", ".tif", ".webp", ".jpg", ".bmp", ".gif", *([".avif"] if AVIF else [])]
MOST = {".jpg": 5, ".webp": 5, ".avif": 5}  # of 255: lossy codecs, widened by the gamut; others 2


@dataclass(frozen=True)
class Space:
    """Chromaticities (white, red, green, blue) and an exponent, None for sRGB's curve."""

    points: tuple[float, ...]
    exponent: float | None = None

    def to_xyz(self) -> np.ndarray:
        """Linear RGB -> XYZ as seen under D65 (Bradford)."""
        white, *colours = (
            np.array([x / y, 1, (1 - x - y) / y])
            for x, y in zip(self.points[::2], self.points[1::2], strict=True)
        )
        matrix = np.stack(colours, axis=1)
        matrix = matrix * np.linalg.solve(matrix, white)
        cones = np.array(
            [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
        )
        day = np.array([0.3127 / 0.329, 1, (1 - 0.3127 - 0.329) / 0.329])
        gains = np.diag((cones @ day) / (cones @ white))
        return np.linalg.inv(cones) @ gains @ cones @ matrix

    def in_srgb(self, values: np.ndarray) -> np.ndarray:
        """(..., 3) in 0 to 255 -> as a screen of sRGB shows them."""
        found = values / 255
        if self.exponent is None:
            linear = np.where(found <= 0.04045, found / 12.92, ((found + 0.055) / 1.055) ** 2.4)
        else:
            linear = found**self.exponent
        screen = (linear @ (np.linalg.inv(Space(SRGB).to_xyz()) @ self.to_xyz()).T).clip(0, 1)
        low = screen <= 0.0031308
        return np.where(low, 12.92 * screen, 1.055 * screen ** (1 / 2.4) - 0.055) * 255


def patches(mode: str = "RGB") -> Image.Image:
    quadrants = PATCHES.reshape(2, 2, 3).repeat(SIDE, axis=0).repeat(SIDE, axis=1)
    return Image.fromarray(quadrants).convert(mode)


def middles(image: Image.Image) -> np.ndarray:
    """(4, 3): a pixel of each patch."""
    array = np.asarray(image.convert("RGB")).astype(float)
    near, far = image.width // 4, image.width // 4 * 3
    return np.stack([array[y, x] for y in (near, far) for x in (near, far)])


def shown(path: Path) -> np.ndarray:
    """As a colour-managed viewer shows the middles of the patches."""
    image = Image.open(path)
    image.load()
    profile = image.info.get("icc_profile")
    if not profile:
        return middles(image)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    screen = ImageCms.createProfile("sRGB")
    return middles(ImageCms.profileToProfile(image, source, screen, outputMode="RGB"))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(path: Path, *chunks: bytes, mode: str = "RGB", **options: object) -> Path:
    """The patches as PNG with chunks behind its header."""
    file = io.BytesIO()
    patches(mode).save(file, format="PNG", **options)
    content = file.getvalue()
    path.write_bytes(content[:33] + b"".join(chunks) + content[33:])
    return path


def by_numbers(points: tuple[float, ...], exponent: float) -> list[bytes]:
    numbers = (round(each * 100_000) for each in points)
    gamma = struct.pack(">I", round(100_000 / exponent))
    return [chunk(b"gAMA", gamma), chunk(b"cHRM", struct.pack(">8I", *numbers))]


def by_code_points(primaries: int, transfer: int) -> list[bytes]:
    return [chunk(b"cICP", bytes([primaries, transfer, 0, 1]))]


def avif(path: Path, primaries: int, transfer: int, **options: object) -> Path:
    """The patches as AVIF whose colour box names code points."""
    file = io.BytesIO()
    patches().save(file, format="AVIF", quality=100, **options)
    content = file.getvalue()
    assert content.count(b"nclx") == 1
    start = content.index(b"nclx") + 4
    path.write_bytes(
        content[:start] + struct.pack(">HH", primaries, transfer) + content[start + 4 :]
    )
    return path


def upscaled(source: Path, suffix: str) -> Path:
    target = source.with_name(f"out{suffix}")
    upscale_file(source, [target], Nearest(SCALE))
    return target


def check(space: Space, source: Path, suffix: str) -> Path:
    target = upscaled(source, suffix)
    wanted = space.in_srgb(middles(Image.open(source)))
    assert np.abs(shown(target) - wanted).max() <= MOST.get(suffix, 2)
    return target


@pytest.mark.parametrize("suffix", TARGETS)
class TestTaggedFilesLookTheSame:
    @pytest.mark.parametrize(
        ("points", "exponent"), [(ADOBE, 2.2), (APPLE, 1.8), (PROPHOTO, 1.8), (SRGB, 1.0)]
    )
    def test_png_with_chromaticities(self, points, exponent, suffix, tmp_path: Path):
        source = png(tmp_path / "in.png", *by_numbers(points, exponent))
        check(Space(points, exponent), source, suffix)

    @pytest.mark.parametrize(
        ("space", "codes"),
        [
            (Space(P3), (12, 13)),
            (Space(BT2020), (9, 14)),
            (Space(BT2020), (9, 13)),
            (Space(P3, 1.0), (12, 8)),
        ],
    )
    def test_png_with_code_points(self, space, codes, suffix, tmp_path: Path):
        check(space, png(tmp_path / "in.png", *by_code_points(*codes)), suffix)

    @pytest.mark.skipif(not AVIF, reason="this Pillow has no AVIF")
    @pytest.mark.parametrize(
        ("space", "codes"), [(Space(P3), (12, 13)), (Space(BT2020), (9, 14)), (Space(SRGB), (1, 1))]
    )
    def test_avif_with_code_points(self, space, codes, suffix, tmp_path: Path):
        check(space, avif(tmp_path / "in.avif", *codes), suffix)


class TestWhichTagCounts:
    """Where several tags speak of the colours of one file, as the formats' standards say."""

    def test_a_png_s_profile_before_its_numbers(self, tmp_path: Path):
        profile = adobe_profile(tmp_path)
        chunks = by_numbers(P3, 1.0)
        source = png(tmp_path / "in.png", *chunks, icc_profile=profile)
        check(Space(ADOBE, 2.2), source, ".png")

    def test_a_png_s_code_points_before_its_profile(self, tmp_path: Path):
        profile = adobe_profile(tmp_path)
        source = png(tmp_path / "in.png", *by_code_points(12, 13), icc_profile=profile)
        check(Space(P3), source, ".png")

    def test_code_points_of_srgb_before_a_profile(self, tmp_path: Path):
        profile = adobe_profile(tmp_path)
        source = png(tmp_path / "in.png", *by_code_points(1, 13), icc_profile=profile)
        assert "icc_profile" not in Image.open(check(Space(SRGB), source, ".png")).info

    def test_srgb_before_numbers(self, tmp_path: Path):
        chunks = [chunk(b"sRGB", b"\0"), *by_numbers(P3, 1.0)]
        check(Space(SRGB), png(tmp_path / "in.png", *chunks), ".png")

    def test_the_numbers_of_srgb_need_no_profile(self, tmp_path: Path):
        source = png(tmp_path / "in.png", *by_numbers(SRGB, 2.2))
        assert "icc_profile" not in Image.open(check(Space(SRGB), source, ".png")).info

    @pytest.mark.skipif(not AVIF, reason="this Pillow has no AVIF")
    def test_an_avif_s_profile_before_its_code_points(self, tmp_path: Path):
        file = io.BytesIO()
        patches().save(file, format="AVIF", quality=100, icc_profile=adobe_profile(tmp_path))
        content = file.getvalue()
        if b"nclx" not in content:
            pytest.skip("this Pillow writes no code points beside a profile")
        start = content.index(b"nclx") + 4
        (tmp_path / "in.avif").write_bytes(
            content[:start] + struct.pack(">HH", 12, 13) + content[start + 4 :]
        )
        check(Space(ADOBE, 2.2), tmp_path / "in.avif", ".png")

    @pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
    @pytest.mark.parametrize("kind", ["png", *(["avif"] if AVIF else [])])
    def test_high_dynamic_range_is_refused(self, transfer, name, kind, tmp_path: Path):
        path = tmp_path / f"in.{kind}"
        if kind == "png":
            png(path, *by_code_points(9, transfer))
        else:
            avif(path, 9, transfer)
        with pytest.raises(ImageError, match=rf"HDR \({name}\)"):
            upscaled(path, ".png")


def adobe_profile(folder: Path) -> bytes:
    """The profile that stands for these numbers, see `TestTaggedFilesLookTheSame`."""
    made = upscaled(png(folder / "adobe.png", *by_numbers(ADOBE, 2.2)), ".tif")
    return Image.open(made).info["icc_profile"]


class TestProfilesOfOtherChannels:
    @pytest.mark.parametrize("suffix", TARGETS)
    def test_colours_profile_on_greyscale_is_dropped(self, suffix: str, tmp_path: Path):
        profile = adobe_profile(tmp_path)
        source = png(tmp_path / "in.png", mode="L", icc_profile=profile)
        check(Space(SRGB), source, suffix)

    @pytest.mark.parametrize("suffix", TARGETS)
    @pytest.mark.parametrize("chunks", [by_numbers(SRGB, 1.0), by_code_points(12, 8)])
    def test_greyscale_by_its_curve(self, suffix: str, chunks: list[bytes], tmp_path: Path):
        source = png(tmp_path / "in.png", *chunks, mode="L")
        target = check(Space(SRGB, 1.0), source, suffix)
        opened = Image.open(target)
        grey = opened.mode == "L"
        assert opened.info.get("icc_profile", b"RGB ".rjust(20))[16:20] in (
            (b"GRAY", b"RGB ") if grey else (b"RGB ",)
        )

    @pytest.mark.parametrize("suffix", [".bmp", ".gif"])
    def test_transparency_that_is_opaque(self, suffix: str, tmp_path: Path):
        source = png(tmp_path / "in.png", *by_code_points(12, 13), mode="RGBA")
        check(Space(P3), source, suffix)

    @pytest.mark.parametrize("suffix", [".bmp", ".gif"])
    def test_palettes(self, suffix: str, tmp_path: Path):
        source = png(tmp_path / "in.png", *by_code_points(12, 13), mode="P")
        check(Space(P3), source, suffix)


class TestColourKeys:
    """One colour of a PNG that stands for transparency, at 16 bits."""

    @pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
    @pytest.mark.parametrize("grey", [False, True])
    def test_it_becomes_alpha(self, grey: bool, suffix: str, tmp_path: Path):
        channels = 1 if grey else 3
        array = np.full((8, 12, channels), 40_000, ">u2")
        array[:, :4] = 40_001  # which differs in the bits that 8 do not hold
        body = b"".join(b"\0" + row.tobytes() for row in array)
        header = struct.pack(">IIBBBBB", 12, 8, 16, 0 if grey else 2, 0, 0, 0)
        (tmp_path / "in.png").write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"tRNS", struct.pack(">H", 40_001) * channels)
            + chunk(b"IDAT", zlib.compress(body))
            + chunk(b"IEND", b"")
        )
        (image,) = read_file(upscaled(tmp_path / "in.png", suffix)).images
        if suffix == ".webp":
            assert isinstance(image, Image.Image)
            alpha = np.asarray(image.getchannel("A")) / 255
        else:
            assert isinstance(image, DeepImage) and image.channels == channels + 1
            assert (image.array[:, 12:, 0] == 40_000).all()
            alpha = image.array[..., -1] / 65535
        assert (alpha[:, :6] == 0).all() and (alpha[:, 10:] == 1).all()
