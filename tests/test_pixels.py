"""Pillow images of every mode, through tensors and back."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Nearest, random_images, shaken, tiny_hvae
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base
from torch import Tensor

from hvae_sr.errors import ImageError
from hvae_sr.imaging.files import open_image, save_image
from hvae_sr.imaging.metadata import metadata
from hvae_sr.imaging.pixels import eight_bits, enlarged, join, split, to_image
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.nn.resize import enlarge


def colours(mode: str = "RGB", size: tuple[int, int] = (5, 4)) -> Image.Image:
    """An image whose pixels all differ, in any 8-bit mode."""
    values = (random_images(1, 4, size[1], size[0])[0] * 255).byte().permute(1, 2, 0).numpy()
    if mode == "CMYK":
        return Image.fromarray(values, "CMYK")
    image = Image.fromarray(values)
    if mode == "P":
        return image.convert("RGB").quantize(16)
    return image.convert(mode)


def rgba(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGBA")).astype(int)


def inks_profile(lab: tuple[int, int, int]) -> bytes:
    """An ICC profile by hand, after which every mixture of inks is one colour (CIELAB, 8 bits)."""
    identity = struct.pack(">9i", *(0x10000 if i % 4 == 0 else 0 for i in range(9)))
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp
    table += bytes(lab) * 2**4 + 3 * ramp
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    tags = {b"A2B0": table, b"wtpt": white, b"cprt": b"text" + bytes(4) + b"none\0\0\0\0"}
    offset, index, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        index += name + struct.pack(">2I", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s12s4s", offset + len(body), b"", 0x02100000, b"prtr",
                         b"CMYK", b"Lab ", bytes(12), b"acsp")  # fmt: skip
    header = header.ljust(68, b"\0") + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + index + body


class Bicubic(Nearest):
    """Mixes neighbours, as every network does."""

    def forward(self, lr: Tensor) -> Tensor:
        return enlarge(lr, self.scale).clamp(0, 1)


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
        image = open_image(tmp_path / "in.png")
        tensor, rest = split(image)
        back = join(tensor[0], rest)
        assert back.mode == ("LA" if mode == "L" else "RGBA")
        assert back.getpixel((2, 1))[-1] == 0
        assert (rgba(back)[..., 3] == rgba(image)[..., 3]).all()
        visible = rgba(image)[..., 3] > 0
        assert (rgba(back)[visible] == rgba(image)[visible]).all()

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
        save_image(Nearest(2).upscale(open_image(tmp_path / "in.png")), tmp_path / "out.png")
        saved = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
        assert np.abs(saved - values.repeat(2, 0).repeat(2, 1)).max() <= 1

    def test_floating_point_pictures(self):
        values = np.array([[0.0, 0.25], [1.0, 1.001], [-0.001, 0.5]], dtype=np.float32)
        larger = Nearest(2).upscale(Image.fromarray(values))
        assert larger.mode == "I;16"
        assert np.asarray(larger)[::2, ::2].tolist() == [[0, 16384], [65535, 65535], [0, 32768]]

    @pytest.mark.parametrize("high", [1.1, 255.0, float("nan"), float("inf")])
    def test_floating_point_values_without_a_known_white_are_refused(self, high: float):
        values = np.array([[0.0, high]], dtype=np.float32)
        with pytest.raises(ImageError, match=r"bring them into 0 to 1"):
            Nearest(2).upscale(Image.fromarray(values))

    @pytest.mark.parametrize("low, high", [(0.0, 255.0), (-1.0, 1.0), (0.0, float("inf"))])
    def test_tensors_out_of_range_are_refused(self, low: float, high: float):
        values = torch.full((1, 3, 4, 4), low)
        values[0, 0, 0, 0] = high
        with pytest.raises(ValueError, match=r"expected values in \[0, 1\], got .*: scale them"):
            Nearest(2).upscale(values)

    def test_a_sixteen_bit_ramp_keeps_far_more_than_256_levels(self):
        ramp = np.linspace(0, 65535, 512).round().astype(np.uint16)[None].repeat(2, axis=0)
        larger = np.asarray(Bicubic(2).upscale(Image.fromarray(ramp)))
        assert len(np.unique(larger)) > 900

    def test_integers_beyond_sixteen_bits_are_refused(self):
        with pytest.raises(ImageError, match="70000"):
            split(Image.fromarray(np.array([[0, 70_000]], dtype=np.int32)))

    def test_sixteen_bits_are_rounded_to_eight_not_cut(self):
        values = np.array([[0, 128, 129, 65535]], dtype=np.uint16)
        assert np.asarray(eight_bits(Image.fromarray(values))).tolist() == [[0, 0, 1, 255]]

    def test_inks_are_seen_through_their_profile(self):
        image = colours("CMYK")
        image.info["icc_profile"] = inks_profile((140, 60, 180))
        tensor, rest = split(image)
        (_, green) = join(tensor[0], rest).getcolors()[0]
        assert green[1] > green[0] + 50 and green[1] > green[2] + 50
        assert "icc_profile" not in rest.info

    @pytest.mark.parametrize("profile", [b"inks", b"", "sRGB"])
    def test_inks_without_a_usable_profile_are_converted_plainly(self, profile: bytes | str):
        image = colours("CMYK")
        plain = image.convert("RGB")
        if isinstance(profile, str):  # one of colours, put on the wrong image
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        image.info["icc_profile"] = profile
        tensor, rest = split(image)
        assert join(tensor[0], rest).tobytes() == plain.tobytes()

    def test_lab_becomes_rgb(self, tmp_path: Path):
        """Pillow's own conversion does not know LAB, which TIFF files hold."""
        screen, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = Image.new("RGB", (3, 2), (200, 60, 30))
        ImageCms.profileToProfile(image, screen, lab, outputMode="LAB").save(tmp_path / "in.tif")
        larger = Nearest(2).upscale(open_image(tmp_path / "in.tif"))
        ((count, colour),) = larger.getcolors()
        assert count == 24 and np.abs(np.subtract(colour, (200, 60, 30))).max() <= 3

    @pytest.mark.parametrize(
        "mode",
        ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "LAB", "YCbCr", "HSV"],
    )
    def test_a_single_pixel(self, mode: str):
        assert Nearest(4).upscale(Image.new(mode, (1, 1))).size == (4, 4)

    @pytest.mark.parametrize("mode", ["I;16", "I", "F"])
    def test_a_single_deep_pixel(self, mode: str):
        assert Nearest(4).upscale(Image.new(mode, (1, 1))).size == (4, 4)

    @pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
    def test_no_pixel_at_all_is_refused(self, size: tuple[int, int]):
        with pytest.raises(ImageError, match="no pixel"):
            split(Image.new("RGB", size))

    def test_very_wide_pictures(self):
        image = colours("RGBA", size=(3000, 1))
        assert Nearest(2).upscale(image).size == (6000, 2)


class TestTransparency:
    """What upscayl's users met: dark fringes around what was cut out, lost transparency."""

    @staticmethod
    def disc(side: int = 24) -> Image.Image:
        """A red disc on transparent black, its edge soft."""
        y, x = np.mgrid[:side, :side] - (side - 1) / 2
        alpha = np.clip(side / 3 - np.hypot(x, y) + 0.5, 0, 1)
        values = np.zeros((side, side, 4), dtype=np.uint8)
        values[..., 3] = (alpha * 255).round()
        values[alpha > 0, 0] = 255
        return Image.fromarray(values)

    @pytest.mark.parametrize("model", [Bicubic(2), Bicubic(4), shaken(tiny_hvae(), 0.0)])
    def test_edges_keep_their_colour(self, model: SuperResolutionModel):
        larger = np.asarray(model.upscale(self.disc())).astype(int)
        seen = larger[..., 3] > 0
        assert seen.any() and not seen.all()
        assert larger[seen][:, 0].min() >= 250
        assert larger[seen][:, 1:3].max() <= 5

    def test_the_shape_stays(self):
        alpha = np.asarray(Bicubic(2).upscale(self.disc()).getchannel("A")).astype(int)
        assert np.abs(alpha - alpha[::-1]).max() <= 1 and np.abs(alpha - alpha.T).max() <= 1
        area = np.asarray(self.disc().getchannel("A")).sum(dtype=int)
        assert abs(alpha.sum() / 4 - area) < 0.02 * area
        assert alpha[24, 24] == 255 and alpha[0, 0] == 0

    @pytest.mark.parametrize("size", [(1, 9), (9, 1), (7, 5), (33, 2)])
    def test_hidden_colours_come_from_the_nearest_visible_ones(self, size: tuple[int, int]):
        image = Image.new("RGBA", size, (0, 0, 0, 0))
        image.putpixel((0, 0), (10, 200, 30, 255))
        tensor, _ = split(image)
        expected = torch.tensor([10, 200, 30]).view(1, 3, 1, 1) / 255
        assert (tensor - expected).abs().max() < 1e-6

    def test_near_wins_over_far(self):
        image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
        image.paste((255, 0, 0, 255), (0, 0, 4, 32))
        image.paste((0, 0, 255, 255), (28, 0, 32, 32))
        filled = split(image)[0]
        assert (filled[0, 0, :, 5] > 0.9).all() and (filled[0, 2, :, 26] > 0.9).all()

    def test_wholly_transparent_pictures_stay_so(self):
        image = Image.new("RGBA", (3, 2), (9, 8, 7, 0))
        assert Nearest(2).upscale(image).getcolors() == [(24, (9, 8, 7, 0))]


class TestMetadata:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_images_are_turned_upright(self, orientation: int, tmp_path: Path):
        image = colours()
        exif = Image.Exif()
        exif[Base.Orientation] = orientation
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
        larger = Nearest(2).upscale(open_image(tmp_path / "in.png"))
        assert (np.asarray(larger)[::2, ::2] == upright).all()
        save_image(larger, tmp_path / "out.png")
        again = Image.open(tmp_path / "out.png")
        assert again.getexif().get(Base.Orientation, 1) == 1, "viewers would turn it a second time"

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
    def test_profile_and_resolution_are_kept(self, suffix: str, tmp_path: Path):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        colours().save(tmp_path / "in.png", icc_profile=profile, dpi=(300, 300))
        save_image(Nearest(2).upscale(open_image(tmp_path / "in.png")), tmp_path / f"out{suffix}")
        saved = Image.open(tmp_path / f"out{suffix}")
        assert saved.info["icc_profile"] == profile
        if suffix != ".webp":  # which has no place for it
            assert [round(float(d)) for d in saved.info["dpi"]] == [300, 300]

    def test_exif_is_kept_whole(self, tmp_path: Path):
        exif = Image.Exif()
        exif.update({Base.Make: "Camera", Base.Artist: "Ada", Base.Orientation: 6})
        exif[IFD.Exif] = {Base.ISOSpeedRatings: 100, Base.ExifImageWidth: 5, Base.MakerNote: b"x"}
        exif[IFD.GPSInfo] = {1: "N", 2: (47.0, 30.0, 1.5)}
        xmp = b'<rdf tiff:Orientation="6" title="a"/>'
        colours().save(tmp_path / "in.jpg", exif=exif, xmp=xmp)
        for source, target in (("in.jpg", "b.tif"), ("b.tif", "c.png"), ("c.png", "d.webp")):
            larger = Nearest(2).upscale(open_image(tmp_path / source))
            save_image(larger, tmp_path / target)
            saved = open_image(tmp_path / target)
            found = saved.getexif()
            assert Base.Orientation not in found, "viewers would turn it a second time"
            assert (found[Base.Make], found[Base.Artist]) == ("Camera", "Ada")
            assert dict(found.get_ifd(IFD.GPSInfo)) == dict(exif[IFD.GPSInfo])
            camera = {Base.ISOSpeedRatings: 100, Base.MakerNote: b"x"}
            assert found.get_ifd(IFD.Exif) == {**camera, **_sides(saved)}
            assert b"Orientation" not in saved.info["xmp"] and b'title="a"' in saved.info["xmp"]

    @pytest.mark.parametrize("cut", [0, 3, 9, 20, 40])
    def test_damaged_exif_is_no_reason_to_refuse_a_picture(self, cut: int):
        exif = Image.Exif()
        exif.update({Base.Make: "Camera", Base.Orientation: 6})
        image = colours()
        image.info["exif"] = exif.tobytes()[:cut] + b"\xff" * 20
        assert sorted(Nearest(2).upscale(image).size) == [8, 10]

    @pytest.mark.parametrize("dpi", [(float("nan"), 1), (0, 0), (1e9, 1e9), ("a", "b"), (1,), None])
    def test_impossible_resolutions_are_left_out(self, dpi: object):
        image = colours()
        image.info["dpi"] = dpi
        assert "dpi" not in metadata(image)

    def test_the_picture_handed_in_is_left_alone(self):
        image = colours("RGBA")
        before = image.tobytes()
        Nearest(2).upscale(image)
        assert (image.tobytes(), image.size) == (before, (5, 4))


def _sides(image: Image.Image) -> dict[int, int]:
    return {Base.ExifImageWidth: image.width, Base.ExifImageHeight: image.height}


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
