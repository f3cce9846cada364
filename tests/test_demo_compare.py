"""The demo's comparison of models: what is scored, by which convention, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Nearest, random_images, refusal
from gradio_client import Client, handle_file
from PIL import Image
from skimage import data

from hvae_sr import load
from hvae_sr.degradations import get_degradation
from hvae_sr.demo import catalogue, compare
from hvae_sr.evaluation.report import References, evaluate
from hvae_sr.imaging.pixels import to_image, to_tensor

PHOTO, SMALL, HALF = "photo-cnn-x4", "study-cnn-cifar10-x4", "photo-cnn-x2"

Compare = Callable[..., tuple[list[dict], list[dict[str, Any]]]]


@pytest.fixture
def ask(client: Client) -> Compare:
    def call(path: Path, **choices: Any) -> tuple[list[dict], list[dict[str, Any]]]:
        gallery, table = client.predict(handle_file(path), api_name="/compare", **choices)
        rows = [dict(zip(table["headers"], row, strict=True)) for row in table["data"]]
        return gallery, rows

    return call


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """A photograph of 50 x 43 pixels: no multiple of any scale."""
    photograph = Image.fromarray(data.astronaut()[:430, 100:600]).resize((50, 43))
    photograph.save(tmp_path / "reference.png")
    return tmp_path / "reference.png"


def test_a_picture_through_several_models(ask: Compare, small: Path) -> None:
    gallery, rows = ask(small, models=[PHOTO, SMALL])
    assert [row["Image"] for row in rows] == ["bicubic", PHOTO, "bicubic", SMALL]
    assert [row["Task"] for row in rows] == ["x4, bicubic"] * 2 + ["x4, gaussian"] * 2
    assert all(row["PSNR (dB)"] is None and row["SSIM"] is None for row in rows)
    assert all(row["LR-PSNR (dB)"] > 20 for row in rows)
    assert [row["Seconds"] is None for row in rows] == [True, False, True, False]
    captions = [each["caption"] for each in gallery]
    assert captions[0] == "input 24 x 20 · x4, bicubic" and captions[1].startswith("bicubic · ")
    assert {Image.open(each["image"]).size for each in gallery} == {(96, 80)}
    answer = load(PHOTO).upscale(Image.open(small))
    assert Image.open(gallery[2]["image"]).tobytes() == answer.tobytes()


def test_a_reference_is_scored_as_the_evaluation_does(ask: Compare, reference: Path) -> None:
    gallery, rows = ask(reference, models=[PHOTO], reference=True)
    pixels = to_tensor(Image.open(reference))[..., :40, :48]
    scores = evaluate(load(PHOTO), References([pixels], "one", "y"))["scores"]
    for row, name in zip(rows, ("bicubic", "model"), strict=True):
        assert row["PSNR (dB)"] == pytest.approx(scores[name]["psnr"], abs=1e-3)
        assert row["SSIM"] == pytest.approx(scores[name]["ssim"], abs=1e-4)
        assert row["LR-PSNR (dB)"] == pytest.approx(scores[name]["lr_psnr"], abs=1e-2)
    sizes = [Image.open(each["image"]).size for each in gallery]
    assert sizes == [(50, 43), (48, 40), (48, 40), (48, 40)]
    assert gallery[0]["caption"] == "reference"
    assert gallery[1]["caption"] == "input 12 x 10 · x4, bicubic"
    assert "dB · SSIM 0." in gallery[3]["caption"]


def test_every_model_gets_its_own_degradation_and_scale(ask: Compare, reference: Path) -> None:
    gallery, _ = ask(reference, models=[SMALL, HALF], reference=True)
    inputs = [each for each in gallery if each["caption"].startswith("input")]
    assert [each["caption"] for each in inputs] == [
        "input 12 x 10 · x4, gaussian",
        "input 25 x 21 · x2, bicubic",
    ]
    for each, name, scale in zip(inputs, ("gaussian", "bicubic"), (4, 2), strict=True):
        pixels = to_tensor(Image.open(each["image"]))[..., ::scale, ::scale]
        hr = to_tensor(Image.open(reference))
        hr = hr[..., : hr.shape[-2] // scale * scale, : hr.shape[-1] // scale * scale]
        assert torch.equal(pixels, get_degradation(name, scale)(hr))


def test_grey_references_are_scored_on_grey_values() -> None:
    grey = random_images(1, 1, 40, 40)
    image = to_image(grey[0])
    assert image.mode == "L"
    task = compare.set_task(image, get_degradation("area", 2), reference=True)
    assert task.hr is not None and torch.equal(task.hr, grey)
    _, entry = compare.answers(task, {"nearest": Nearest()})
    truth = grey[..., 2:-2, 2:-2]
    error = (to_tensor(entry.image)[:, :1, 2:-2, 2:-2] - truth).square().mean()
    assert entry.psnr == pytest.approx(float(-10 * error.log10()), abs=1e-3)
    assert entry.lr_psnr > 60  # it repeats the means of the cells


def test_what_cannot_be_compared_is_refused(ask: Compare, small: Path, tmp_path: Path) -> None:
    assert "choose at least one" in refusal(lambda: ask(small, models=[]))
    refusal(lambda: ask(small, models=["other"]))
    Image.new("RGB", (60, 19)).save(tmp_path / "in.png")
    message = refusal(lambda: ask(tmp_path / "in.png", models=[PHOTO], reference=True))
    assert "60x19" in message and "at least 20 pixels" in message
    Image.new("L", (1100, 1000)).save(tmp_path / "in.png")
    message = refusal(lambda: ask(tmp_path / "in.png", models=[PHOTO, SMALL]))
    assert "the image is 1100x1000" in message and "at most 1.0 are taken" in message


def test_the_endpoint_is_documented(client: Client) -> None:
    endpoint = client.view_api(return_format="dict", print_info=False)["named_endpoints"][
        "/compare"
    ]
    parameters = endpoint["parameters"]
    assert [each["parameter_name"] for each in parameters] == ["image", "models", "reference"]
    default = parameters[1]["parameter_default"]
    degradations = {load(name).degradation for name in default}
    assert catalogue.FIRST[0] in default and len(degradations) == 1
