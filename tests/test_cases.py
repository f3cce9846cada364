"""The files of ../shared/cases, each with its right outcome on the real command line."""

import io
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Nearest
from PIL import Image, ImageCms
from PIL.ExifTags import Base

from hvae_sr import cli
from hvae_sr.errors import ImageError
from hvae_sr.imaging import icc
from hvae_sr.imaging.deep import DeepImage
from hvae_sr.imaging.files import is_image, read_file
from hvae_sr.imaging.foreign import HEIF
from hvae_sr.upscaling.images import upscale_file

ROOT = Path(__file__).parent.parent
CASES = Path(os.environ.get("HVAE_SR_CASES", ROOT.parent / "shared" / "cases"))
MOVIES = (".mkv", ".mp4", ".ts", ".webm", ".avi", ".wmv", ".mov", ".vob", ".m4v", ".mpg")
SCALE = 2


@dataclass(frozen=True)
class Upscaled:
    """What became of a file: exit code, the written one, and the sentences on stderr."""

    source: Path
    target: Path
    code: int
    said: list[str]

    @property
    def image(self) -> Image.Image | DeepImage:
        return read_file(self.target).images[0]

    def pixels(self) -> np.ndarray:
        """(H, W, C) in 0 to 255, every second row and column: as the source had them."""
        image = self.image
        deep = image.array / 257 if isinstance(image, DeepImage) else _values(image)
        return deep[::SCALE, ::SCALE]

    def opened(self) -> Image.Image:
        image = Image.open(self.target)
        image.load()
        return image


def _values(image: Image.Image) -> np.ndarray:
    array = np.asarray(image).astype(float)
    array = array / 257 if image.mode.startswith("I") else array
    return array[..., None] if array.ndim == 2 else array


class Counted(Nearest):
    """Counts the calls of its network."""

    runs = 0

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return super().forward(lr)


Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line with a model: the exit code, and the lines on stderr."""

    def call(model: Nearest, *arguments: object) -> tuple[int, list[str]]:
        for module in ("upscale", "store"):
            monkeypatch.setattr(f"hvae_sr.cli.{module}.loaded", lambda *given: model)
        code = cli.run([str(each) for each in arguments])
        return code, capsys.readouterr().err.splitlines()

    return call


def scene() -> np.ndarray:
    return np.asarray(Image.open(CASES / "scene.png").convert("RGB")).astype(float)


Check = Callable[[Upscaled], None]


@dataclass(frozen=True)
class Case:
    """One file: what it becomes and how that is checked, or the sentence that refuses it."""

    suffix: str = ".png"
    check: Check | None = None
    refused: str | None = None
    scale: int = SCALE


def is_scene(most: float = 0.51) -> Check:
    """The scene itself, in RGB."""

    def check(found: Upscaled) -> None:
        assert np.abs(found.pixels()[..., :3] - scene()).max() <= most
        assert found.said == []

    return check


def is_deep_scene(found: Upscaled) -> None:
    image = found.image
    assert isinstance(image, DeepImage) and image.channels == 3
    assert np.abs(found.pixels() - scene()).max() <= 0.51
    assert found.said == []


def is_grey_scene(found: Upscaled) -> None:
    grey = np.asarray(Image.open(CASES / "scene.png").convert("L")).astype(float)
    assert found.image.mode == "I;16"
    assert np.abs(found.pixels()[..., 0] - grey).max() <= 2


def is_first_of(count: int, kind: str) -> Check:
    def check(found: Upscaled) -> None:
        assert found.image.size == (48 * SCALE, 36 * SCALE)
        assert any(f"{count} {kind}" in each and str(count - 1) in each for each in found.said)

    return check


def is_animation(count: int) -> Check:
    def check(found: Upscaled) -> None:
        with Image.open(found.target) as after, Image.open(found.source) as before:
            assert getattr(after, "n_frames", 1) == count
            assert after.size == (before.width * SCALE, before.height * SCALE)
            hidden = int(bool(before.info.get("default_image")))
            for index in range(count):
                before.seek(index + hidden)
                after.seek(index)
                before.load(), after.load()
                assert after.info.get("duration") == before.info.get("duration")
                wanted = np.asarray(before.convert("RGB")).astype(int)
                shown = np.asarray(after.convert("RGB")).astype(int)[::SCALE, ::SCALE]
                assert np.abs(shown - wanted).mean() < 4

    return check


def shown(path: Path) -> np.ndarray:
    """What a browser shows: pixels through the profile, in sRGB."""
    image = Image.open(path)
    image.load()
    profile = image.info.get("icc_profile")
    rgb = image.convert("RGB")
    if profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        rgb = ImageCms.profileToProfile(rgb, source, ImageCms.createProfile("sRGB"))
    return np.asarray(rgb).astype(float)


def keeps_its_colours(found: Upscaled) -> None:
    """As what the command writes in PNG, whose profile has a test of its own."""
    before = shown(found.source)
    assert found.opened().info["icc_profile"][16:20] == b"RGB "
    as_named = Image.open(found.source).convert("RGB")
    p3 = icc.from_code_points(12, 13)
    assert p3 is not None
    source = ImageCms.ImageCmsProfile(io.BytesIO(p3))
    wanted = ImageCms.profileToProfile(as_named, source, ImageCms.createProfile("sRGB"))
    after = shown(found.target)[::SCALE, ::SCALE]
    assert np.abs(after - np.asarray(wanted)).mean() < 3
    assert np.abs(after - before).mean() > 3  # the file's numbers, taken for sRGB


def has_profile(red: tuple[float, float] | None, gamma: float | None) -> Check:
    """An RGB profile whose red is at (x, y) before adaptation, or whose curve is a power."""

    def check(found: Upscaled) -> None:
        profile = found.opened().info["icc_profile"]
        assert profile[16:20] == b"RGB "
        parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
        if red is not None:
            x, y, z = parsed.red_colorant[0]
            assert np.allclose((x, y, z), red_of(red), atol=2e-3)
        if gamma is not None:
            ramp = Image.fromarray(
                np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (1, 1, 3))
            )
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            out = ImageCms.profileToProfile(ramp, source, ImageCms.createProfile("sRGB"))
            linear = (np.arange(256) / 255) ** gamma
            low = linear <= 0.0031308
            wanted = np.where(low, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
            assert np.abs(np.asarray(out)[0, :, 1] - wanted).max() <= 1.5

    return check


def red_of(point: tuple[float, float]) -> tuple[float, float, float]:
    """Display P3's red in the connection space, as its published profile has it."""
    assert point == (0.680, 0.320)
    return 0.51512, 0.24120, -0.00105


def without_grey_profile(found: Upscaled) -> None:
    opened = found.opened()
    assert opened.mode.startswith("RGB")
    assert opened.info.get("icc_profile", b"")[16:20] != b"GRAY"


def left_quarter_is_transparent(found: Upscaled) -> None:
    image = found.image
    assert isinstance(image, DeepImage) and image.channels == 4
    alpha = image.array[..., 3]
    assert (alpha[:, : 12 * SCALE - 2] == 0).all() and (alpha[:, 12 * SCALE + 2 :] == 65535).all()


def is_opaque(found: Upscaled) -> None:
    assert found.opened().convert("RGBA").getchannel("A").getextrema() == (255, 255)
    is_scene()(found)


def keeps_texts(found: Upscaled) -> None:
    texts = found.opened().text
    assert texts["parameters"].startswith("a cat") and texts["workflow"] == '{"nodes":[]}'
    assert texts["Title"] == "Käse"


def keeps_iptc(found: Upscaled) -> None:
    block = found.opened().info["photoshop"][1028]
    for word in (b"alps", b"snow", b"Nobody", b"On the ridge"):
        assert word in block


def has_new_sizes(found: Upscaled) -> None:
    xmp = found.opened().info["xmp"].decode()
    for name, value in {
        "GPano:CroppedAreaImageHeightPixels": 36,
        "GPano:CroppedAreaImageWidthPixels": 48,
        "GPano:FullPanoWidthPixels": 48,
        "exif:PixelXDimension": 48,
        "tiff:ImageLength": 36,
    }.items():
        assert f"<{name}>{value * SCALE}</{name}>" in xmp


def lacks_the_makers_note(found: Upscaled) -> None:
    assert any("EXIF" in each for each in found.said)
    exif = found.opened().getexif()
    assert exif[Base.ProcessingSoftware].startswith("hvae_sr")


def is_read(found: Upscaled) -> None:
    assert found.image.size == (48 * SCALE, 36 * SCALE)


def has_its_own_pixels(found: Upscaled) -> None:
    assert np.abs(found.pixels() - _values(Image.open(found.source))).max() <= 0.51


def is_whole(found: Upscaled) -> None:
    with Image.open(found.source) as before:
        assert found.image.size == (before.width * SCALE, before.height * SCALE)


def keeps_its_grey_profile(found: Upscaled) -> None:
    opened = found.opened()
    assert opened.mode in ("L", "LA") and opened.info["icc_profile"][16:20] == b"GRAY"


def keeps_iptc_in_tiff(found: Upscaled) -> None:
    block = found.image.info["iptc"]
    for word in (b"alps", b"snow", b"Nobody", b"On the ridge"):
        assert word in block


def says_that_iptc_is_lost(found: Upscaled) -> None:
    assert [each for each in found.said if "without IPTC" in each]


STILLS: dict[str, list[Case]] = {
    "scene.png": [Case(check=is_scene())],
    "tiff_rgb16_planar.tif": [Case(".tif", is_deep_scene), Case(".png", is_deep_scene)],
    "tiff_rgb16_planar_bigendian.tif": [Case(".tif", is_deep_scene), Case(check=is_deep_scene)],
    "tiff_grey16_white_is_zero.tif": [Case(".tif", is_grey_scene), Case(check=is_grey_scene)],
    "tiff_float_0_255.tif": [Case(refused="64 to 249")],
    "tiff_float_elevation.tif": [Case(refused="940 to 2790")],
    "tiff_float_rgb.tif": [Case(refused="floating-point colours .*export it as TIFF or PNG of 16")],
    "camera.dng": [Case(refused="camera raw file.*export it")],
    "tiff_thumbnail_first.tif": [Case(check=is_scene())],
    "apng_hidden_first.png": [Case(check=is_animation(4)), Case(".jpg", is_first_of(4, "frames"))],
    "animated.gif": [
        Case(".gif", is_animation(4)),
        Case(".webp", is_animation(4)),
        Case(".png", is_animation(4)),
        Case(".jpg", is_first_of(4, "frames")),
    ],
    "animated.png": [Case(check=is_animation(4)), Case(".bmp", is_first_of(4, "frames"))],
    "tiff_four_pages.tif": [Case(".tif", is_first_of(4, "pages"))],
    "png_gamma1.png": [Case(check=has_profile(None, 1.0)), Case(".jpg", has_profile(None, 1.0))],
    "png_cicp_p3.png": [Case(check=has_profile((0.680, 0.320), None))],
    "avif_p3_nclx.avif": [
        Case(check=has_profile((0.680, 0.320), None)),
        *(Case(suffix, keeps_its_colours) for suffix in (".avif", ".webp", ".tif", ".jpg")),
    ],
    "avif_hdr_pq.avif": [Case(refused=r"HDR \(PQ\)")],
    "jpg_grey_profile.jpg": [
        Case(".webp", without_grey_profile),
        Case(".jpg", keeps_its_grey_profile),
    ],
    "png_grey_alpha_profile.png": [
        Case(".webp", without_grey_profile),
        Case(".png", keeps_its_grey_profile),
    ],
    "png_rgb16_colour_key.png": [Case(check=left_quarter_is_transparent)],
    "bmp_alpha_all_zero.bmp": [Case(check=is_opaque), Case(".bmp", is_scene())],
    "webp_4200_wide.webp": [
        Case(".webp", is_whole),
        Case(".webp", refused="16800x32 pixels: WebP has at most 16383 a side.*PNG", scale=4),
        Case(".tif", scale=4),
    ],
    "wide_17000.jpg": [
        Case(".webp", refused="at most 16383 a side.*PNG"),
        Case(".gif", refused="GIF has at most 65535 a side.*PNG", scale=4),
        Case(".jpg", refused="JPEG has at most 65500 a side.*PNG", scale=4),
        Case(".avif", refused="AVIF has at most 32768 a side.*PNG"),
        Case(".png", is_whole),
    ],
    "jpg_exif_65k.jpg": [Case(".jpg", lacks_the_makers_note)],
    "damaged.avif": [Case(refused=r"damaged\.avif is damaged")],
    "png_prompt.png": [Case(check=keeps_texts)],
    "jpg_iptc.jpg": [
        Case(".jpg", keeps_iptc),
        Case(".tif", keeps_iptc_in_tiff),
        Case(".png", keeps_iptc_in_tiff),
        Case(".webp", says_that_iptc_is_lost),
    ],
    "jpg_panorama.jpg": [Case(".jpg", has_new_sizes)],
    "png_text_3mb.png": [Case(check=is_scene())],
    "phone.heic": [Case(check=is_read) if HEIF else Case(refused=r"hvae-sr\[heif\]")],
    "from_edge.jfif": [Case(check=has_its_own_pixels)],
    "scan.pgm": [Case(check=is_read)],
}


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
class TestSharedCases:
    def test_every_still_of_the_index_is_in_the_table(self):
        text = (CASES / "INDEX.md").read_text()
        named = {name for name in re.findall(r"[\w.]+\.\w+", text) if (CASES / name).is_file()}
        present = {path.name for path in CASES.iterdir()} - {"INDEX.md"}
        stills = {name for name in named | present if not name.endswith((*MOVIES, ".md"))}
        assert stills == set(STILLS)

    @pytest.mark.parametrize("name", sorted(STILLS))
    def test_its_outcome_is_right(self, name: str, run: Run, tmp_path: Path):
        for index, case in enumerate(STILLS[name]):
            target, model = tmp_path / f"{index}{case.suffix}", Counted(case.scale)
            code, said = run(model, "upscale", CASES / name, target)
            if case.refused is not None:
                assert (code, len(said), model.runs) == (2, 1, 0)
                assert re.search(case.refused, said[0]) and not target.exists()
                continue
            assert (code, target.exists()) == (0, True), said
            if case.check is not None:
                case.check(Upscaled(CASES / name, target, code, said))

    def test_a_folder_of_them_all(self, run: Run, tmp_path: Path):
        folder = tmp_path / "in"
        folder.mkdir()
        for name in STILLS:
            shutil.copy(CASES / name, folder)
        code, said = run(Counted(SCALE), "upscale", folder, tmp_path / "out")
        assert code == 1
        # A folder's files keep their formats, GIF, BMP and PGM as PNG.
        refused = [name for name, cases in STILLS.items() if cases[0].refused]
        refused.remove("wide_17000.jpg")
        for name in refused:
            assert len([line for line in said if f"/{name}" in line]) == 1, (name, said)
        assert len(list((tmp_path / "out").iterdir())) == len(STILLS) - len(refused)

    @pytest.mark.parametrize("name", ["jpg_grey_profile.jpg", "png_grey_alpha_profile.png"])
    @pytest.mark.parametrize("kind", ["webp", "png", "avif"])
    def test_shrink_leaves_no_grey_profile_on_colours(
        self, name: str, kind: str, run: Run, tmp_path: Path
    ):
        small = tmp_path / f"small.{kind}"
        code, said = run(Counted(SCALE), "shrink", CASES / name, small)
        assert (code, said) == (0, [])
        opened = Image.open(small)
        of_grey = opened.info.get("icc_profile", b"")[16:20] == b"GRAY"
        assert opened.mode in ("L", "LA") if of_grey else kind != "png"

    def test_damage_beside_whole_files(self, run: Run, tmp_path: Path):
        for name in ("damaged.avif", "scene.png", "scan.pgm"):
            shutil.copy(CASES / name, tmp_path)
        code, said = run(Counted(SCALE), "upscale", tmp_path, tmp_path / "out")
        assert code == 1
        assert len([line for line in said if "damaged.avif is damaged or cut short" in line]) == 1
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"scene.png", "scan.png"}

    def test_raw_files_are_refused_by_every_suffix(self, tmp_path: Path):
        content = (CASES / "camera.dng").read_bytes()
        for suffix in (".nef", ".cr2", ".tif"):
            (tmp_path / f"camera{suffix}").write_bytes(content)
            with pytest.raises(ImageError, match="camera raw"):
                upscale_file(tmp_path / f"camera{suffix}", [tmp_path / "out.png"], Nearest(SCALE))

    def test_a_folder_takes_each_that_is_taken_alone(self):
        for name in ("from_edge.jfif", "scan.pgm", "phone.heic"):
            assert is_image(CASES / name)
