"""The demo as its visitors and API clients meet it: good images, bad files, seeds, limits."""

import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from conftest import refusal, tiny_cnn
from gradio_client import Client, handle_file
from PIL import Image

from hvae_sr import GenerativeModel, __version__, load
from hvae_sr.demo import catalogue, uncertainty, values
from hvae_sr.demo.examples import SIDE, photographs
from hvae_sr.imaging import pixels
from hvae_sr.imaging.files import file_record
from hvae_sr.storage.shelf import bundled
from hvae_sr.upscaling import UpscaleOptions
from hvae_sr.upscaling.records import matches_record, records

HVAE = "photo-hvae-x4"
REST = [1, 0, 0, False, "model", "PNG", 95, False]  # of the arguments of /upscale
Upscale = Callable[..., tuple]


@pytest.fixture
def upscale(client: Client) -> Upscale:
    def call(path: Path, **choices: Any) -> tuple:
        return client.predict(handle_file(path), api_name="/upscale", **choices)

    return call


@pytest.fixture(scope="module")
def deterministic() -> str:
    models = catalogue.bundled_models()
    return next(name for name, model in models.items() if not isinstance(model, GenerativeModel))


def test_first_answer_comes_at_once(upscale: Upscale, small: Path) -> None:
    start, worked = time.perf_counter(), time.process_time()
    (before, after), numbers, several, std_map, archive, download = upscale(small)
    # the server is a thread of this process: on a machine that is busy elsewhere its work counts
    assert min(time.perf_counter() - start, time.process_time() - worked) < 2
    assert Image.open(before).size == Image.open(after).size == (96, 80)
    assert numbers["model"] == "photo-cnn-x4" and numbers["lr_psnr"] > 40
    assert (numbers["width"], numbers["height"], numbers["seed"]) == (96, 80, None)
    assert several == [] and std_map is None and archive is None
    assert Path(download).name == "small-photo-cnn-x4.png"
    assert Path(download).read_bytes() == Path(after).read_bytes()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "I;16", "P", "1"])
def test_modes(mode: str, upscale: Upscale, photograph: Image.Image, tmp_path: Path) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(photograph.convert("L")).astype(np.uint16) * 257)
    else:
        picture = photograph.convert(mode)
    picture.save(tmp_path / "in.png")
    (before, after), *_ = upscale(tmp_path / "in.png")
    expected = {"P": "RGB", "1": "L"}.get(mode, mode)
    assert Image.open(after).mode == Image.open(before).mode == expected
    assert Image.open(after).size == (96, 80)


def test_cmyk_jpeg(upscale: Upscale, photograph: Image.Image, tmp_path: Path) -> None:
    photograph.convert("CMYK").save(tmp_path / "in.jpg")
    (_, after), *_ = upscale(tmp_path / "in.jpg")
    assert Image.open(after).mode == "RGB"


def test_exif_rotation_is_applied(
    upscale: Upscale, photograph: Image.Image, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph.save(tmp_path / "in.jpg", exif=exif)
    (before, after), numbers, *_ = upscale(tmp_path / "in.jpg")
    assert Image.open(after).size == Image.open(before).size == (80, 96)
    assert (numbers["input_width"], numbers["input_height"]) == (20, 24)


@pytest.mark.parametrize("size", [(1, 1), (150, 1), (2, 77)])
def test_before_and_after_are_of_equal_size(
    size: tuple[int, int], upscale: Upscale, tmp_path: Path
) -> None:
    Image.new("RGB", size, (9, 99, 200)).save(tmp_path / "in.png")
    (before, after), *_ = upscale(tmp_path / "in.png", consistent=True)
    assert Image.open(before).size == Image.open(after).size == (4 * size[0], 4 * size[1])


def test_downloads_record_how_they_were_made(upscale: Upscale, small: Path) -> None:
    choices = {"model": HVAE, "num_samples": 2, "temperature": 0.8, "seed": 7, "consistent": True}
    (before, _), _, several, *_, download = upscale(small, **choices)
    model = load(HVAE)
    options = UpscaleOptions(num_samples=2, temperature=0.8, seed=7, consistent=True)
    samples = [Path(each["image"]) for each in several]
    # the command line takes them for its own, so `hvae-sr upscale` would make them again
    assert all(map(matches_record, samples, records(small, model, options)))
    record = file_record(Path(download))
    assert record is not None
    assert (record["model"], record["revision"]) == (HVAE, model.revision)
    assert (record["scale"], record["sample"], record["version"]) == (4, 1, __version__)
    assert file_record(Path(before)) is None


def test_broken_files_are_refused(upscale: Upscale, small: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no image at all")
    assert "bad.png is not an image" in refusal(lambda: upscale(bad))
    bad.write_bytes(b"")
    assert "bad.png is not an image" in refusal(lambda: upscale(bad))
    bad.write_bytes(small.read_bytes()[:400])
    assert "bad.png is damaged or cut short" in refusal(lambda: upscale(bad))


def test_large_images_are_refused(upscale: Upscale, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.new("L", (30_000, 3_000)).save(large)
    assert "shrink it" in refusal(lambda: upscale(large))
    Image.new("L", (1200, 1000)).save(large)
    choices = {"model": HVAE, "num_samples": 16, "temperature": 0.8}
    message = refusal(lambda: upscale(large, **choices))
    assert "the image is 1200x1000" in message and "0.135 are taken" in message


def test_no_image(client: Client) -> None:
    call = {"api_name": "/upscale"}
    assert "choose one" in refusal(lambda: client.predict(None, **call))
    inline = {
        "path": None,
        "url": "data:image/png;base64,AAAA",
        "meta": {"_type": "gradio.FileData"},
    }
    assert "upload files first" in refusal(lambda: client.predict(inline, **call))


def test_files_of_the_server_stay_there(client: Client, small: Path) -> None:
    # gradio_client would upload the file: this asks for one that lies outside the upload folder
    address = f"{client.src}gradio_api/call/upscale"
    stolen = {"path": str(small), "meta": {"_type": "gradio.FileData"}}
    model = next(iter(catalogue.bundled_models()))
    event = httpx.post(address, json={"data": [stolen, model, *REST]}).json()["event_id"]
    said = httpx.get(f"{address}/{event}", timeout=30).text
    assert said.startswith("event: error")
    assert str(small.parent) not in said


def test_seeds(upscale: Upscale, small: Path) -> None:
    def picture(seed: int) -> bytes:
        (_, after), *_ = upscale(small, model=HVAE, temperature=0.8, seed=seed)
        return Path(after).read_bytes()

    first = picture(7)
    assert picture(7) == first
    assert picture(8) != first


def test_several_samples(upscale: Upscale, small: Path) -> None:
    choices = {"model": HVAE, "num_samples": 3, "temperature": 0.8}
    (_, after), numbers, several, std_map, archive, _ = upscale(small, **choices)
    assert len({Image.open(each["image"]).tobytes() for each in several}) == 3
    assert all(re.fullmatch(r"\d: [\d.]+ dB", each["caption"]) for each in several)
    assert Path(several[0]["image"]).read_bytes() == Path(after).read_bytes()
    assert Image.open(std_map).size == (96, 80)
    assert numbers["std_max"] >= 1 and numbers["num_samples"] == 3
    with zipfile.ZipFile(archive) as bundle:
        assert len(bundle.namelist()) == 3


def test_consistency_is_reported(upscale: Upscale, small: Path) -> None:
    _, numbers, *_ = upscale(small, consistent=True)
    assert numbers["lr_psnr"] >= 45


def test_deterministic_model(upscale: Upscale, small: Path, deterministic: str) -> None:
    _, numbers, several, std_map, *_ = upscale(small, model=deterministic)
    scale = load(deterministic).scale
    assert (numbers["width"], numbers["height"]) == (24 * scale, 20 * scale)
    assert several == [] and std_map is None
    message = refusal(lambda: upscale(small, model=deterministic, temperature=0.8))
    assert message.startswith(f"{deterministic} has one answer")


def test_choices_out_of_range(upscale: Upscale, client: Client, small: Path) -> None:
    refusal(lambda: upscale(small, num_samples=17))
    refusal(lambda: upscale(small, temperature=1.3))
    refusal(lambda: upscale(small, model="other"))
    assert "no seed" in refusal(lambda: upscale(small, seed=None))
    refusal(lambda: client.predict(num_samples=65, api_name="/sample"))


def test_prior_samples(client: Client) -> None:
    def draw(seed: int) -> tuple[list[dict], str, dict]:
        return client.predict(num_samples=5, seed=seed, api_name="/sample")

    gallery, download, numbers = draw(1)
    assert numbers["seed"] == 1
    assert [Image.open(each["image"]).size for each in gallery] == [(128, 128)] * 5
    assert Image.open(download).size == (3 * 34 + 2, 2 * 34 + 2)
    assert Path(draw(1)[1]).read_bytes() == Path(download).read_bytes()
    assert Path(draw(2)[1]).read_bytes() != Path(download).read_bytes()


def test_public_endpoints_are_documented(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    actions = {"/upscale", "/batch", "/compare", "/movie", "/sample", "/levels", "/interpolate"}
    assert set(endpoints) == actions
    names = [each["parameter_name"] for each in endpoints["/upscale"]["parameters"]]
    assert names == [
        *("image", "model", "num_samples", "temperature", "seed", "consistent"),
        *("size", "file_format", "quality", "shrink"),
    ]


def test_menus_say_what_models_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored, unscored = tmp_path / "scored", tmp_path / "unscored"
    unscored.mkdir()
    shutil.copytree(bundled()["photo-cnn-x4"], scored)
    monkeypatch.setattr(catalogue, "bundled", lambda: {"scored": scored, "unscored": unscored})
    model = tiny_cnn(scale=2)
    labels = [
        label for label, _ in catalogue.described(dict.fromkeys(["scored", "unscored"], model))
    ]
    assert labels[1] == "unscored · x2"
    assert re.fullmatch(r"scored · x2 · Set5 3[01]\.\d\d dB", labels[0])


def test_models_for_photographs_come_first() -> None:
    names = list(catalogue.bundled_models())
    photographs = [name for name in names if name.startswith("photo-")]
    assert photographs and names[: len(photographs)] == photographs
    assert catalogue.first(dict.fromkeys(names)) == "photo-cnn-x4"  # type: ignore[arg-type]
    drawing = catalogue.samplers(catalogue.bundled_models())
    assert catalogue.first(drawing) == "hvae-cifar10-x4"


def test_study_model_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "bundled", lambda: {"hvae": Path(), "vae-study": Path()})
    monkeypatch.setattr(catalogue, "load", lambda name: name)
    assert catalogue.bundled_models() == {"hvae": "hvae"}


def test_nothing_bundled_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "bundled", dict)
    with pytest.raises(catalogue.ModelError, match="no model is bundled"):
        catalogue.bundled_models()


def test_deviation_and_its_colours() -> None:
    std = torch.tensor([0.0, 3.0, 4.0]).div(255).view(1, 3, 1, 1).expand(1, 3, 2, 3)
    values = uncertainty.pixel_std(std)
    assert values.shape == (2, 3)
    assert values == pytest.approx((25 / 3) ** 0.5, abs=1e-4)
    colours = np.asarray(uncertainty.coloured(np.array([[0.0, 5.0, 9.0]]), top=5.0))
    assert tuple(colours[0, 0]) == uncertainty.STOPS[0]
    assert tuple(colours[0, 1]) == tuple(colours[0, 2]) == uncertainty.STOPS[-1]


def test_messages_are_no_markup() -> None:
    with pytest.raises(values.gr.Error) as caught, values.readable():
        raise ValueError("<img src=x> is damaged")
    assert caught.value.message == "&lt;img src=x&gt; is damaged"


def test_examples_are_small_photographs(tmp_path: Path) -> None:
    paths = photographs(tmp_path)
    assert len(paths) >= 3
    for path in paths:
        picture = pixels.to_tensor(Image.open(path))
        assert picture.shape == (1, 3, SIDE, SIDE)
        assert picture.std() > 0.1


def test_the_package_does_not_import_gradio() -> None:
    code = "import sys, hvae_sr; hvae_sr.load; sys.exit('gradio' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
