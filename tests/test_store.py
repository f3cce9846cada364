"""Images stored coarsely and restored: sizes, modes, records, refusals."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Nearest, random_images, smooth_images, tiny_cnn, tiny_hvae
from PIL import Image, features

from hvae_sr import cli
from hvae_sr.degradations import get_degradation
from hvae_sr.errors import ImageError, ModelError
from hvae_sr.imaging.files import LARGEST_FILE, open_image, read_record, save_image
from hvae_sr.imaging.pixels import to_image, to_tensor
from hvae_sr.rescale import (
    Shrunk,
    restore,
    restore_file,
    restoring,
    shrink,
    shrink_file,
)
from hvae_sr.upscaling import UpscaleOptions, Upscaler

SIZES = [(1, 1), (5, 7), (33, 21), (24, 12)]
NAMES = ["area", "bicubic", "gaussian", "gaussian_corner"]
AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def photo(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """A soft image of any mode that shrinking keeps."""
    colours = smooth_images(1, 3, height, width, seed=seed)[0]
    if mode == "I;16":
        values = (colours[0] * 65535).round().numpy().astype(np.uint16)
        return Image.fromarray(values)
    image = to_image(colours)
    if mode in ("RGBA", "LA"):
        image.putalpha(to_image(smooth_images(1, 1, height, width, seed=seed + 1)[0]))
    return image.convert(mode)


def levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def valid_record(**changes: Any) -> dict[str, Any]:
    """What `shrink` writes for a 7x5 image with the `Nearest` model, changed."""
    _, shrunk = shrink(photo(7, 5), Nearest())
    return {**shrunk.to_record(), **changes}


@pytest.fixture
def nearest(tmp_path: Path) -> Path:
    """A folder with a saved `Nearest`, x2, `area`."""
    folder = tmp_path / "nearest"
    Nearest().save_pretrained(folder)
    return folder


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A small file of a 7x5 image, made for `Nearest`."""
    photo(7, 5).save(tmp_path / "in.png")
    shrink_file(tmp_path / "in.png", tmp_path / "in.small.png", Nearest())
    return tmp_path / "in.small.png"


def invoke(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    """The command in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["hvae-sr", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    return stop.value.code or 0, said.out, said.err


# The round trip


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_comes_back_exactly(size, scale):
    model = tiny_cnn(scale=scale).eval()
    image = photo(*size)
    small, shrunk = shrink(image, model)
    assert small.size == (-(-size[0] // scale), -(-size[1] // scale)) == shrunk.size
    assert restore(small, model, shrunk).size == size


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "I;16"])
@pytest.mark.parametrize("suffix", [".png", ".webp", pytest.param(".avif", marks=AVIF)])
def test_modes_survive_every_codec(mode, suffix, tmp_path):
    photo(9, 6, mode).save(tmp_path / "in.png")
    small, back = tmp_path / f"small{suffix}", tmp_path / "back.png"
    if mode == "I;16" and suffix != ".png":
        with pytest.raises(ImageError, match="only PNG"):
            shrink_file(tmp_path / "in.png", small, Nearest())
        assert not small.exists()
        return
    shrink_file(tmp_path / "in.png", small, Nearest())
    restore_file(small, back, Nearest())
    answer = Image.open(back)
    assert (answer.mode, answer.size) == (mode, (9, 6))


def test_transparency_is_the_mean_of_each_cell():
    image = photo(4, 4, "RGBA")
    small, _ = shrink(image, get_degradation("bicubic", 2))
    cells = levels(image)[..., 3].reshape(2, 2, 2, 2).mean(axis=(1, 3))
    assert np.abs(levels(small)[..., 3] - cells).max() <= 0.5


def test_colour_profile_exif_and_upright_orientation_are_kept(tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6  # maker; a quarter turn
    photo(8, 6).save(tmp_path / "in.png", exif=exif, icc_profile=b"a profile")
    shrink_file(tmp_path / "in.png", tmp_path / "small.png", Nearest())
    restore_file(tmp_path / "small.png", tmp_path / "back.png", Nearest())
    answer = open_image(tmp_path / "back.png")
    assert answer.size == (6, 8)
    assert answer.info["icc_profile"] == b"a profile"
    assert answer.getexif()[0x010F] == "a camera" and 0x0112 not in answer.getexif()


@pytest.mark.parametrize("name", NAMES)
def test_the_small_picture_is_the_models_own_degradation(name):
    image = photo(24, 12)
    small, _ = shrink(image, get_degradation(name, 4))
    assert torch.equal(to_tensor(small), get_degradation(name, 4)(to_tensor(image)))


# Consistency


@pytest.mark.parametrize("name", ["area", "bicubic", "gaussian"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_consistent_answer_shrinks_to_what_was_stored(size, name):
    model = tiny_cnn(degradation=name).eval()
    small, shrunk = shrink(to_image(random_images(3, size[1], size[0])), model)
    again, _ = shrink(restore(small, model, shrunk, UpscaleOptions(consistent=True)), model)
    assert np.abs(levels(again) - levels(small)).max() <= 1


def test_without_consistency_an_untrained_model_shrinks_to_something_else():
    model = tiny_cnn().eval()
    torch.nn.init.constant_(list(model.parameters())[-1], 0.3)
    small, shrunk = shrink(photo(33, 21), model)
    again, _ = shrink(restore(small, model, shrunk), model)
    assert np.abs(levels(again) - levels(small)).max() > 1


def test_a_seed_names_the_restored_picture():
    model = tiny_hvae().eval()
    small, shrunk = shrink(photo(21, 13), model)
    warm = [UpscaleOptions(temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    one, same, other = (restore(small, model, shrunk, options) for options in warm)
    assert np.array_equal(levels(one), levels(same))
    assert not np.array_equal(levels(one), levels(other))


def test_a_drawn_seed_is_recorded_and_repeats_the_picture(tmp_path):
    model = tiny_hvae().eval()
    photo(21, 13).save(tmp_path / "in.png")
    small, one, again = (tmp_path / f"{name}.png" for name in ("small", "one", "again"))
    shrink_file(tmp_path / "in.png", small, model)
    restore_file(small, one, model, UpscaleOptions(temperature=1.0))
    record = read_record(open_image(one))
    assert record is not None
    restore_file(small, again, model, UpscaleOptions(temperature=1.0, seed=record["seed"]))
    assert again.read_bytes() == one.read_bytes()


# Records


def test_the_record_says_how_the_picture_was_made(stored):
    record = read_record(open_image(stored))
    assert record is not None
    assert (record["action"], record["degradation"], record["scale"]) == ("shrink", "area", 2)
    assert (record["width"], record["height"], record["grey"]) == (7, 5, False)
    assert record["model"] == Nearest().name and record["version"]
    assert Shrunk.parse(record).to_record() == record


def test_the_record_of_a_loaded_model_names_its_revision(nearest, tmp_path):
    import hvae_sr

    model = hvae_sr.load(nearest)
    _, shrunk = shrink(photo(7, 5), model)
    assert (shrunk.model, shrunk.revision) == (model.name, model.revision)
    assert shrunk.revision is not None


def test_a_restored_file_is_no_stored_one(stored, tmp_path):
    restore_file(stored, tmp_path / "back.png", Nearest())
    record = read_record(open_image(tmp_path / "back.png"))
    assert record is not None and (record["action"], record["temperature"]) == ("restore", 0)
    with pytest.raises(ImageError, match="hvae-sr upscale"):
        restore_file(tmp_path / "back.png", tmp_path / "again.png", Nearest())


HOSTILE: list[dict[str, Any]] = [
    {"width": -7},
    {"width": 0},
    {"height": 2**62},
    {"width": LARGEST_FILE, "height": LARGEST_FILE},
    {"width": 7.0},
    {"width": True},
    {"height": "5"},
    {"height": None},
    {"scale": 0},
    {"scale": -2},
    {"scale": 10**9},
    {"scale": [2]},
    {"degradation": "rm"},
    {"degradation": {}},
    {"degradation": "a" * 10_000},
    {"grey": "yes"},
    {"model": ["photo-cnn-x4"]},
    {"model": "a/" * 5_000},
    {"revision": 1},
    {"version": None},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=lambda c: ",".join(c))
def test_hostile_records_are_one_short_sentence(changes, tmp_path, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model ran on a hostile record")

    monkeypatch.setattr(Upscaler, "images", never)
    path = tmp_path / "hostile.png"
    save_image(shrink(photo(7, 5), Nearest())[0], path, record=valid_record(**changes))
    with pytest.raises(ImageError) as caught:
        restore_file(path, tmp_path / "out.png", Nearest())
    said = str(caught.value)
    assert said.startswith("hostile.png: ") and "\n" not in said and len(said) < 250
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("field", ["degradation", "scale", "width", "height", "grey", "model"])
def test_a_record_without_a_field_names_it(field):
    record = valid_record()
    del record[field]
    with pytest.raises(ImageError, match=f"no {field}"):
        Shrunk.parse(record)


@pytest.mark.parametrize("changes", [{"width": 8, "height": 7}, {"width": 4000, "height": 3000}])
def test_a_record_of_another_size_is_refused(changes):
    small, _ = shrink(photo(7, 5), Nearest())
    with pytest.raises(ImageError, match="edited"):
        restore(small, Nearest(), Shrunk.parse(valid_record(**changes)))


def test_a_small_picture_that_was_turned_since_is_refused():
    small, shrunk = shrink(photo(7, 5), Nearest())
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn, which viewers apply
    file = io.BytesIO()
    small.save(file, "PNG", exif=exif)
    with pytest.raises(ImageError, match="edited"):
        restore(Image.open(file), Nearest(), shrunk, UpscaleOptions(consistent=True))


@pytest.mark.parametrize("record", [None, {}, {"action": "upscale", "model": "x"}])
def test_images_not_made_by_shrink_are_sent_to_upscale(record):
    with pytest.raises(ImageError, match="hvae-sr upscale"):
        Shrunk.parse(record)


@pytest.mark.parametrize(
    "model", [Nearest(scale=4), Nearest(degradation="bicubic")], ids=["scale", "degradation"]
)
def test_a_model_of_another_task_is_refused(model):
    small, shrunk = shrink(photo(7, 5), Nearest())
    with pytest.raises(ModelError, match="another --model"):
        restore(small, model, shrunk)


def test_no_picture_makes_anyone_download_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr(restoring, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    path = tmp_path / "lure.png"
    record = valid_record(model="some-one/model")
    save_image(shrink(photo(7, 5), Nearest())[0], path, record=record)
    with pytest.raises(ModelError, match=r"some-one/model.*--model"):
        restore_file(path, tmp_path / "out.png")


def test_a_bundled_model_is_found_by_its_record(tmp_path):
    photo(9, 6).save(tmp_path / "in.png")
    from hvae_sr import load

    shrink_file(tmp_path / "in.png", tmp_path / "small.png", load("study-cnn-cifar10-x4"))
    restore_file(tmp_path / "small.png", tmp_path / "back.png")
    assert Image.open(tmp_path / "back.png").size == (9, 6)


def test_another_revision_of_the_same_model_is_said(stored, tmp_path):
    model = Nearest()
    model.revision = "0123456789ab"
    with pytest.warns(UserWarning, match="0123456789ab"):
        restore_file(stored, tmp_path / "back.png", model)


# Files


@pytest.mark.parametrize(
    ("name", "quality", "lossless", "said"),
    [
        ("out.jpg", None, False, "stored as"),
        ("out.txt", None, False, "cannot write"),
        ("out.png", 50, False, "no quality"),
        ("out.webp", 50, True, "no quality"),
        pytest.param("out.avif", None, True, "losses", marks=AVIF),
        ("out.webp", 0, False, "1 to 100"),
        ("out.webp", 101, False, "1 to 100"),
    ],
)
def test_wishes_that_cannot_be_are_one_sentence(name, quality, lossless, said, tmp_path):
    photo(7, 5).save(tmp_path / "in.png")
    target = tmp_path / name
    with pytest.raises(ImageError, match=said):
        shrink_file(tmp_path / "in.png", target, Nearest(), quality=quality, lossless=lossless)
    assert not target.exists()


def test_lossless_webp_keeps_every_pixel_of_the_small_picture(tmp_path):
    image = to_image(random_images(3, 10, 14))
    image.save(tmp_path / "in.png")
    shrink_file(tmp_path / "in.png", tmp_path / "small.webp", Nearest(), lossless=True)
    small, _ = shrink(image, Nearest())
    assert np.array_equal(levels(open_image(tmp_path / "small.webp")), levels(small))


def test_a_model_of_small_pictures_restores_nothing():
    with pytest.raises(ModelError, match="upscales"):
        shrink(photo(8, 8), tiny_hvae(scale=1, start="constant"))


# The commands


def test_the_commands_bring_a_picture_back(nearest, tmp_path, monkeypatch, capsys):
    photo(33, 21).save(tmp_path / "in.png")
    code, out, error = invoke(
        monkeypatch, capsys, "shrink", tmp_path / "in.png", "--model", nearest
    )
    assert (code, error) == (0, "")
    small = tmp_path / "in.small.webp"
    assert f"{small.stat().st_size:,} bytes" in out
    assert f"{(tmp_path / 'in.png').stat().st_size:,} bytes" in out
    code, out, _ = invoke(monkeypatch, capsys, "restore", small, "--model", nearest)
    assert code == 0 and "33x21" in out
    assert Image.open(tmp_path / "in.restored.png").size == (33, 21)


def test_the_commands_keep_existing_files(nearest, stored, tmp_path, monkeypatch, capsys):
    kept = tmp_path / "kept.png"
    kept.write_bytes(b"mine")
    for verb in ("shrink", "restore"):
        arguments = [verb, stored, kept, "--model", nearest]
        code, _, error = invoke(monkeypatch, capsys, *arguments)
        assert code == 2 and "--overwrite" in error and kept.read_bytes() == b"mine"
    code, _, _ = invoke(monkeypatch, capsys, *arguments, "--overwrite")
    assert code == 0 and Image.open(kept).size == (7, 5)


def test_a_format_and_an_output_are_not_given_together(nearest, stored, monkeypatch, capsys):
    arguments = ["shrink", stored, "out.png", "--format", "png", "--model", nearest]
    code, _, error = invoke(monkeypatch, capsys, *arguments)
    assert code == 2 and "not both" in error


def test_restoring_someone_elses_picture_is_one_sentence(nearest, tmp_path, monkeypatch, capsys):
    photo(7, 5).save(tmp_path / "other.png")
    arguments = ["restore", tmp_path / "other.png", "--model", nearest]
    code, _, error = invoke(monkeypatch, capsys, *arguments)
    assert code == 2 and error.count("\n") == 1
    assert error.startswith("hvae-sr: other.png: ") and "hvae-sr upscale" in error
