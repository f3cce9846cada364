"""All thumbnail models on one page: what is measured, what is believed, and what is shown."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import (
    random_images,
    shaken,
    tiny_cnn,
    tiny_hvae,
    tiny_lr_prior,
    tiny_study_vae,
    tiny_vae,
)
from test_scores import FACTS

from benchmarks import __main__ as benchmarks
from benchmarks import family
from hvae_sr import hub
from hvae_sr.errors import ModelError
from hvae_sr.evaluation import report
from hvae_sr.evaluation.references import References
from hvae_sr.storage.serialization import fingerprint

FAST = {"draws": 2, "seed": 1}


@pytest.fixture(autouse=True)
def _once(monkeypatch):
    """Speed is looked at for its presence only."""
    monkeypatch.setattr("benchmarks.speed.REPEATS", 1)
    monkeypatch.setattr(family, "BATCH", 2)


@pytest.fixture
def shelf(tmp_path) -> Path:
    """A shelf with a CNN, a VAE without and an HVAE with p(y), the study's VAE, and a stranger."""
    models = {
        "a-cnn": tiny_cnn(),
        "b-vae": tiny_vae(),
        "c-hvae": shaken(tiny_hvae()).with_lr_prior(tiny_lr_prior()),
        "d-study": tiny_study_vae(),
        "photo": tiny_cnn(degradation="bicubic"),
    }
    for name, model in models.items():
        folder = tmp_path / "shelf" / name
        model.save_pretrained(folder)
        facts = FACTS | ({"lr_prior": FACTS} if name == "c-hvae" else {})
        (folder / "training.json").write_text(json.dumps(facts))
        (folder / "notes.md").write_text("A tiny model.")
    return tmp_path / "shelf"


@pytest.fixture
def references() -> References:
    return References([random_images(3, 3, 16, 16)], "noise")


def rows(page: str, title: str) -> list[list[str]]:
    """The cells of the table under a heading of the page."""
    section = page.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def column(table: list[list[str]], title: str) -> list[str]:
    index = table[0].index(title)
    return [row[index] for row in table[2:]]


def test_the_page_shows_every_comparable_model(shelf, references):
    members = family.gather(shelf, references, **FAST, say=lambda _: None)
    assert list(members) == ["a-cnn", "b-vae", "c-hvae", "d-study"]
    page = family.page(members, "python -m benchmarks family --data noise")
    assert "python -m benchmarks family --data noise" in page and "nan" not in page
    costs = rows(page, "Size and cost")
    assert column(costs, "training images") == ["80", "80", "80 + 80", "80"]
    # Only p(y), or no need of it, lets a model draw from nothing.
    assert [bool(cell) for cell in column(costs, "sampled per second")] == [
        False,
        False,
        True,
        True,
    ]
    assert min(float(cell) for cell in column(costs, "times the fastest's time")) == 1
    likelihoods = rows(page, "Likelihood")
    assert column(likelihoods, "model") == ["`b-vae`", "`c-hvae`", "", "", "`d-study`"]
    assert column(likelihoods, "bits of") == ["x given y", "x given y", "y", "x, both parts", "x"]
    assert all("(2 draws)" in cell for cell in column(likelihoods, "bound of many draws")[:3])
    images = rows(page, "Images")
    vae = ["T = 0", "T = 0.8", "T = 1", report.SAMPLE, "mean of 16"]
    assert column(images, "answer") == ["", "", "model", *vae, *vae, *vae]
    latents = rows(page, "Latents")
    assert column(latents, "level") == ["4x4", "4x4", "8x8", "2x2", "4x4", "4x4"]
    assert column(latents, "units")[:3] == ["48", "32", "256"]
    for title in ("Size and cost", "Likelihood", "Images", "Latents"):
        assert len({len(row) for row in rows(page, title)}) == 1


def test_gflop_are_those_of_the_convolutions():
    """Twice the multiplications of every convolution, counted by hand with hooks."""
    model, by_hand = tiny_cnn().eval(), []

    def count(conv: torch.nn.Conv2d, _: object, output: torch.Tensor) -> None:
        per_value = conv.weight[0].numel()
        by_hand.append(2 * per_value * output.numel())

    hooks = [
        module.register_forward_hook(count)
        for module in model.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    lr = random_images(1, 3, 8, 8)
    model(lr)
    for hook in hooks:
        hook.remove()
    assert family.cost(model, lr).gflop == pytest.approx(sum(by_hand) / 1e9, rel=1e-6)


def test_what_is_current_is_not_measured_again(shelf, references):
    said: list[str] = []
    family.gather(shelf, references, **FAST, say=said.append)
    assert len(said) == 4 and all("measured anew" in line for line in said)
    before = {path: path.read_bytes() for path in shelf.glob("*/*")}
    said.clear()
    family.gather(shelf, references, **FAST, say=said.append)
    assert said == [] and before == {path: path.read_bytes() for path in shelf.glob("*/*")}
    # One model was trained on: it alone is measured.
    shaken(tiny_vae()).save_pretrained(shelf / "b-vae")
    family.gather(shelf, references, **FAST, say=said.append)
    assert [line.split(":")[0] for line in said] == ["b-vae"]
    card = (shelf / "b-vae" / "README.md").read_text()
    results = json.loads((shelf / "b-vae" / "results.json").read_text())
    assert f"{results['scores']['T = 0']['psnr']:.2f}" in card


@pytest.mark.parametrize(
    "change",
    [{"draws": 3}, {"seed": 2}, {"training": torch.zeros(40, 3, 16, 16, dtype=torch.uint8)}],
    ids=lambda change: next(iter(change)),
)
def test_other_settings_are_other_results(change, references):
    model = tiny_vae().eval()
    results = report.evaluate(model, references, draws=2, seed=1)
    settings = {"training": None, **FAST}
    assert family.is_current(results, model, references, **settings)
    assert not family.is_current(results, model, references, **(settings | change))
    fewer = References([references.batches[0][:2]], "noise")
    assert not family.is_current(results, model, fewer, **settings)
    old = {key: value for key, value in results.items() if key != "weights"}
    assert not family.is_current(old, model, references, **settings)


def test_a_stopped_run_keeps_what_is_done(shelf, references, monkeypatch):
    evaluate = report.evaluate

    def tired(model, *arguments, **options):
        if type(model).__name__ == "HVAE":
            raise KeyboardInterrupt
        return evaluate(model, *arguments, **options)

    monkeypatch.setattr(report, "evaluate", tired)
    with pytest.raises(KeyboardInterrupt):
        family.gather(shelf, references, **FAST, say=lambda _: None)
    assert [path.parent.name for path in sorted(shelf.glob("*/results.json"))] == ["a-cnn", "b-vae"]
    monkeypatch.setattr(report, "evaluate", evaluate)
    said: list[str] = []
    family.gather(shelf, references, **FAST, say=said.append)
    assert [line.split(":")[0] for line in said] == ["c-hvae", "d-study"]


def test_fingerprints_tell_weights_apart_however_they_are_stored(tmp_path):
    model = tiny_cnn().half()
    model.save_pretrained(tmp_path)
    assert fingerprint(hub.load(tmp_path)) == fingerprint(model)
    assert fingerprint(shaken(tiny_cnn())) != fingerprint(tiny_cnn())


def test_a_shelf_without_thumbnails_is_said(tmp_path, references):
    with pytest.raises(ModelError, match="is for x4"):
        family.gather(tmp_path, references)


def test_the_command_writes_the_page(shelf, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    data = str(tmp_path / "images.npy")
    arguments = ["family", "--data", data, "--train-data", data, "--limit", "2", "--iw", "2"]
    arguments += ["--models", str(shelf), "--out", str(tmp_path / "f.md")]
    assert benchmarks.main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err.count("measured anew") == 4
    assert captured.out.strip() == str(tmp_path / "f.md")
    page = (tmp_path / "f.md").read_text()
    assert "2 images of images.npy" in page and "linear MMSE" in page
    assert "family --data images.npy --train-data images.npy --limit 2 --iw 2" in page
    assert str(tmp_path) not in page
