"""TIFF, PNG and PPM of every depth and layout: the same image in, the same image out."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from conftest import Nearest, random_images, smooth_images
from PIL import Image
from PIL.ExifTags import IFD, Base

from hvae_sr import Upscaler
from hvae_sr.errors import ImageError
from hvae_sr.imaging.deep import DeepImage
from hvae_sr.imaging.files import open_image, read_file, save_image
from hvae_sr.imaging.tiff import MOST_PAGES
from hvae_sr.upscaling.images import upscale_file

PHOTOMETRIC = {1: "minisblack", 2: "minisblack", 3: "rgb", 4: "rgb"}


def values(channels: int, top: int = 65535, size: tuple[int, int] = (7, 9)) -> np.ndarray:
    """(H, W, C) of numbers that all differ, alpha nowhere 0."""
    found = (random_images(1, 4, *size)[0].permute(1, 2, 0).numpy() * (top - 1)).astype(np.uint16)
    return np.ascontiguousarray(found[..., :channels] + 1)


def whole(image: Image.Image | DeepImage) -> np.ndarray:
    array = image.array if isinstance(image, DeepImage) else np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def write(path: Path, array: np.ndarray, planar: bool = False, **options: object) -> Path:
    channels = array.shape[-1]
    stored = np.moveaxis(array, -1, 0) if planar and channels > 1 else array
    tifffile.imwrite(
        path,
        stored if channels > 1 else array[..., 0],
        photometric=options.pop("photometric", PHOTOMETRIC[channels]),
        planarconfig=("separate" if planar else "contig") if channels > 1 else None,
        extrasamples=[options.pop("alpha", "unassalpha")] if channels in (2, 4) else None,
        metadata=None,
        **options,
    )
    return path


class TestTiff:
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    @pytest.mark.parametrize("planar", [False, True])
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("compression", [None, "deflate", "lzw", "zstd"])
    def test_sixteen_bits_are_read_as_they_are(
        self, channels: int, planar: bool, order: str, compression: str | None, tmp_path: Path
    ):
        array = values(channels)
        predictor = compression is not None
        options = {"byteorder": order, "compression": compression, "predictor": predictor}
        path = write(tmp_path / "in.tif", array, planar, **options)
        (image,) = read_file(path).images
        assert (whole(image) == array).all()

    @pytest.mark.parametrize("channels", [3, 4])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_eight_bits_in_planes(self, channels: int, order: str, tmp_path: Path):
        array = values(channels, 255).astype(np.uint8)
        image = open_image(write(tmp_path / "in.tif", array, True, byteorder=order))
        assert (whole(image) == array).all()

    @pytest.mark.parametrize(
        "options", [{"tile": (16, 16)}, {"rowsperstrip": 2}, {"bigtiff": True}]
    )
    def test_tiles_strips_and_large_files(self, options: dict[str, object], tmp_path: Path):
        array = values(3, size=(37, 41))
        (image,) = read_file(write(tmp_path / "in.tif", array, **options)).images
        assert (whole(image) == array).all()

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_white_is_zero(self, dtype: type, tmp_path: Path):
        array = values(1, np.iinfo(dtype).max).astype(dtype)
        path = write(tmp_path / "in.tif", array, photometric="miniswhite")
        assert (whole(open_image(path)) == np.iinfo(dtype).max - array).all()

    @pytest.mark.parametrize("bits", [10, 12, 14])
    def test_fewer_bits_are_scaled_up(self, bits: int, tmp_path: Path):
        array = values(3, 2**bits - 1)
        (image,) = read_file(write(tmp_path / "in.tif", array, bitspersample=bits)).images
        assert np.abs(whole(image) - array * (65535 / (2**bits - 1))).max() <= 0.51

    def test_premultiplied_alpha_becomes_straight(self, tmp_path: Path):
        array = np.full((4, 4, 4), 10000, np.uint16)
        array[..., 3] = 32768
        (image,) = read_file(write(tmp_path / "in.tif", array, alpha="assocalpha")).images
        assert np.abs(whole(image)[..., 0].astype(int) - 20000).max() <= 1

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_floating_point_grey(self, dtype: type, tmp_path: Path):
        array = np.linspace(0, 1, 20, dtype=dtype).reshape(4, 5)
        tifffile.imwrite(tmp_path / "in.tif", array)
        larger = Nearest(2).upscale(open_image(tmp_path / "in.tif"))
        assert np.abs(np.asarray(larger)[::2, ::2] / 65535 - array).max() < 1e-3

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_floating_point_colours_are_named(self, dtype: type, tmp_path: Path):
        tifffile.imwrite(tmp_path / "in.tif", np.ones((4, 5, 3), dtype), photometric="rgb")
        with pytest.raises(ImageError, match=rf"floating-point colours \({np.dtype(dtype)}"):
            open_image(tmp_path / "in.tif")

    @pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32])
    def test_integers_out_of_range_are_named(self, dtype: type, tmp_path: Path):
        array = np.array([[0, 100]], dtype)
        array[0, 0] = -5 if np.dtype(dtype).kind == "i" else 70_000
        tifffile.imwrite(tmp_path / "in.tif", array)
        with pytest.raises(ImageError, match=r"-5 to 100|100 to 70000"):
            open_image(tmp_path / "in.tif")

    @pytest.mark.parametrize("shape", [(5, 8, 9), (4, 4, 7)])
    def test_channels_that_are_no_colours_are_refused(self, shape: tuple[int, ...], tmp_path: Path):
        path = tmp_path / "in.tif"
        array = np.zeros(shape, np.uint16)
        tifffile.imwrite(path, array, photometric="minisblack", planarconfig="separate")
        with pytest.raises(ImageError, match="channels a pixel"):
            open_image(path)

    def test_a_stack_in_one_page_is_counted(self, tmp_path: Path):
        tifffile.imwrite(tmp_path / "in.tif", np.zeros((6, 8, 9), np.uint16), imagej=True)
        with pytest.warns(UserWarning, match="6 pages.* 5 dropped"):
            open_image(tmp_path / "in.tif")

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
    @pytest.mark.parametrize("compression", [None, "deflate"])
    def test_cut_short(self, share: float, compression: str | None, tmp_path: Path):
        path = write(tmp_path / "in.tif", values(3, size=(64, 64)), compression=compression)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ImageError, match=r"in\.tif is damaged or cut short"):
            open_image(path)

    def test_the_page_marked_as_reduced_is_passed_over(self, tmp_path: Path):
        array = values(3)
        with tifffile.TiffWriter(tmp_path / "in.tif") as file:
            file.write(array[:3, :3], photometric="rgb", subfiletype=1, metadata=None)
            file.write(array, photometric="rgb", metadata=None)
        assert (whole(read_file(tmp_path / "in.tif").images[0]) == array).all()


class TestDeepFiles:
    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_they_are_written_at_their_depth(self, suffix: str, channels: int, tmp_path: Path):
        array = values(channels)
        path = write(tmp_path / "in.tif", array)
        upscale_file(path, [tmp_path / f"out{suffix}"], Nearest(2))
        (image,) = read_file(tmp_path / f"out{suffix}").images
        colours = array[..., : channels - (channels in (2, 4))]
        found = whole(image)[::2, ::2, : colours.shape[2]]
        assert np.abs(found.astype(int) - colours).max() <= 1
        assert whole(image).shape[2] == channels

    @pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
    def test_a_target_of_eight_bits_is_said(self, suffix: str, tmp_path: Path):
        path = write(tmp_path / "in.tif", values(3))
        with pytest.warns(UserWarning, match="8 of the image's 16 bits"):
            upscale_file(path, [tmp_path / f"out{suffix}"], Nearest(2))
        assert open_image(tmp_path / f"out{suffix}").size == (18, 14)

    def test_ppm_holds_colours_of_sixteen_bits(self, tmp_path: Path):
        array = values(3)
        save_image(DeepImage(array), tmp_path / "out.ppm")
        assert (whole(read_file(tmp_path / "out.ppm").images[0]) == array).all()

    @pytest.mark.parametrize("channels", [2, 3, 4])
    def test_png_of_sixteen_bits(self, channels: int, tmp_path: Path):
        array = values(channels)
        (tmp_path / "in.png").write_bytes(imagecodecs.png_encode(array))
        assert (whole(read_file(tmp_path / "in.png").images[0]) == array).all()

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_metadata_are_written_beside_them(self, suffix: str, tmp_path: Path):
        exif = Image.Exif()
        exif.update({Base.Make: "Camera"})
        exif[IFD.Exif] = {Base.ISOSpeedRatings: 100, Base.ExifImageWidth: 3}
        info = {"exif": exif.tobytes(), "dpi": (300.0, 300.0), "xmp": b"<x:xmpmeta/>"}
        save_image(DeepImage(values(3), info), tmp_path / f"out{suffix}", record={"seed": 3})
        (image,) = read_file(tmp_path / f"out{suffix}").images
        found = Image.Exif()
        found.load(image.info["exif"])
        assert found[Base.Make] == "Camera" and "seed" in found[Base.ProcessingSoftware]
        assert found.get_ifd(IFD.Exif) == {Base.ISOSpeedRatings: 100, Base.ExifImageWidth: 9} or (
            found.get_ifd(IFD.Exif)[Base.ExifImageWidth] == 9
        )
        assert image.info["xmp"] == b"<x:xmpmeta/>"
        assert [round(each) for each in image.info["dpi"]] == [300, 300]

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_they_are_turned_upright(self, orientation: int, tmp_path: Path):
        array = values(3)
        path = write(tmp_path / "in.tif", array, extratags=[(274, 3, 1, orientation, True)])
        flat = Image.fromarray((array // 257).astype(np.uint8))
        exif = Image.Exif()
        exif[Base.Orientation] = orientation
        flat.info["exif"] = exif.tobytes()
        (found,) = Upscaler(Nearest(2)).images(read_file(path).images[0])
        wanted = Nearest(2).upscale(flat)
        assert np.abs(found.array / 257 - np.asarray(wanted)).max() <= 1


class TestArrays:
    @pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 2), (5, 6, 3), (5, 6, 4)])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_they_come_back_as_they_are(self, shape: tuple[int, ...], dtype: type):
        array = np.full(shape, np.iinfo(dtype).max // 3, dtype)
        (found,) = Upscaler(Nearest(2)).images(array)
        assert found.dtype == dtype and found.shape == (10, 12, *shape[2:])
        assert np.abs(found.astype(int) - array.flat[0]).max() <= 1

    def test_a_fitted_size(self):
        (found,) = Upscaler(Nearest(2)).images(np.full((5, 6, 4), 30_000, np.uint16), size=(9, 9))
        assert found.shape == (8, 9, 4) and np.abs(found.astype(int) - 30_000).max() <= 2

    def test_the_output_has_a_mean(self):
        output = Upscaler(Nearest(2))(values(3))
        assert output.mean.dtype == np.uint16 and output.images[0].shape == (14, 18, 3)

    @pytest.mark.parametrize("array", [np.zeros((4, 4, 3)), np.zeros((4,), np.uint8)])
    def test_others_are_refused(self, array: np.ndarray):
        with pytest.raises(ValueError, match="uint8 or uint16"):
            Upscaler(Nearest(2)).images(array)

    def test_consistency_follows_the_depth(self):
        smooth = smooth_images(1, 3, 16, 16)[0].permute(1, 2, 0).numpy() / 2 + 0.25
        model = Nearest(2, "gaussian")
        deep = Upscaler(model)((smooth * 65535).round().astype(np.uint16), consistent=True)
        flat = Upscaler(model)((smooth * 255).round().astype(np.uint8), consistent=True)
        assert deep.lr_psnr.item() > 80 > flat.lr_psnr.item()


def test_a_tiff_of_endless_pages_is_refused_at_once(tmp_path: Path) -> None:
    """One wrong number in a header can make a chain of pages that takes hours to walk."""
    with tifffile.TiffWriter(tmp_path / "in.tif") as file:
        for _ in range(MOST_PAGES + 1):
            file.write(np.zeros((1, 1), np.uint8), contiguous=False)
    with pytest.raises(ImageError, match=f"more than {MOST_PAGES} pages"):
        open_image(tmp_path / "in.tif")
