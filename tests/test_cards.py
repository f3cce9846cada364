"""Cards keep to the files beside them, and say everything that someone who meets a model needs."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Nearest, shaken, tiny_cnn, tiny_hvae, tiny_lr_prior
from huggingface_hub import ModelCard
from PIL import Image

import hvae_sr
from hvae_sr.errors import ModelError
from hvae_sr.evaluation import figures
from hvae_sr.evaluation.cards import card_text
from hvae_sr.evaluation.results import by_set, first_of, space_of
from hvae_sr.storage import cards

ROOT = Path(__file__).parent.parent
BUNDLED = hvae_sr.bundled()
SECTIONS = ("Scores", "Training", "Limits and licences", "Citation")


def front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


@pytest.mark.parametrize("name", BUNDLED)
class TestBundled:
    def test_the_card_is_what_hvae_sr_card_would_write_again(self, name: str):
        folder = BUNDLED[name]
        assert (folder / "README.md").read_text() == card_text(folder)

    def test_results_are_of_this_model(self, name: str):
        """A card cannot be right beside results of other weights or another config."""
        model = hvae_sr.load(name)
        assert model.degradation is not None
        for results in by_set(json.loads((BUNDLED[name] / "results.json").read_text())).values():
            assert results["model_class"] == type(model).__name__
            assert results["parameters"] == sum(p.numel() for p in model.parameters())
            assert results["scale"] == model.scale
            assert results["degradation"] == model.degradation.name

    def test_the_model_index_holds_the_measured_scores(self, name: str):
        header = front_matter((BUNDLED[name] / "README.md").read_text())
        sets = by_set(json.loads((BUNDLED[name] / "results.json").read_text()))
        (index,) = header["model-index"]
        assert index["name"] == name
        listed = [
            (metric["type"], metric["value"])
            for result in index["results"]
            for metric in result["metrics"]
        ]
        expected = []
        for results in sets.values():
            scores = results["scores"]["T = 0" if "T = 0" in results["scores"] else "model"]
            expected += [("psnr", round(scores["psnr"], 2)), ("ssim", round(scores["ssim"], 4))]
        assert listed == expected
        assert header["pipeline_tag"] == "image-to-image"
        assert header["library_name"] == "hvae_sr" and header["license"] == "apache-2.0"
        assert "super-resolution" in header["tags"]

    def test_a_loaded_model_brings_its_card(self, name: str):
        card = hvae_sr.load(name).generate_model_card()
        assert isinstance(card, ModelCard) and card.data.eval_results
        positions = [card.text.index(f"\n## {section}\n") for section in SECTIONS]
        assert positions == sorted(positions)
        assert "```python" in card.text and "@software{hvae_sr" in card.text
        assert f"`{type(hvae_sr.load(name)).__name__}` is after: " in card.text
        assert "Weights: Apache-2.0" in card.text

    def test_terms_of_the_data_are_named(self, name: str):
        text = (BUNDLED[name] / "README.md").read_text()
        if "BSDS500" in text:
            assert "non-commercial research and education" in text
            assert "ask the owners of the images" in text
        assert "BSDS500" in text or "CIFAR-10 (Krizhevsky 2009)" in text

    def test_the_picture_is_small_described_and_of_this_model(self, name: str):
        path = BUNDLED[name] / cards.SAMPLES
        assert path.stat().st_size < 60_000
        model = hvae_sr.load(name)
        generative = isinstance(model, hvae_sr.GenerativeModel)
        seen = ", ".join(figures.labels(generative=generative))
        text = (BUNDLED[name] / "README.md").read_text()
        assert f"![From left to right: {seen}]({cards.SAMPLES})" in text
        results = json.loads((BUNDLED[name] / "results.json").read_text())
        space = space_of(first_of(results))
        again = np.asarray(figures.samples(model, space), dtype=float)
        stored = np.asarray(Image.open(path), dtype=float)
        assert stored.shape == again.shape
        assert np.abs(stored - again).mean() < 2


@pytest.mark.parametrize("space", ["rgb", "y"])
@pytest.mark.parametrize(
    "model",
    [
        Nearest(2),
        Nearest(3),
        tiny_cnn(4),
        shaken(tiny_hvae(3)),
        tiny_hvae().with_lr_prior(tiny_lr_prior()),
    ],
    ids=lambda model: f"{type(model).__name__}-x{model.scale}",
)
def test_every_kind_of_model_can_be_shown(model: hvae_sr.SuperResolutionModel, space: str):
    sheet = figures.samples(model.eval(), space)
    columns = len(figures.labels(generative=isinstance(model, hvae_sr.GenerativeModel)))
    assert columns == (6 if isinstance(model, hvae_sr.GenerativeModel) else 4)
    pixels = np.asarray(sheet, dtype=float)[figures.LINE + 8 : -8]
    panels = np.array_split(pixels, columns, axis=1)
    assert all(panel.std() > 5 for panel in panels)
    assert np.abs(panels[0][:, :80] - panels[-1][:, :80]).mean() > 1


def test_a_card_needs_its_notes(tmp_path: Path):
    name = next(iter(BUNDLED))
    for file in BUNDLED[name].iterdir():
        if file.suffix in (".json", ".md"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / cards.NOTES).unlink()
    with pytest.raises(ModelError, match=cards.NOTES):
        card_text(tmp_path)
    (tmp_path / cards.RESULTS).unlink()
    with pytest.raises(ModelError, match=cards.RESULTS):
        card_text(tmp_path)


@pytest.mark.parametrize("make", [tiny_cnn, tiny_hvae, tiny_lr_prior, Nearest])
def test_a_fresh_model_has_an_honest_short_card(make):
    model = make()
    card = model.generate_model_card(model_name="mine")
    assert "Not evaluated" in card.text and card.data.eval_results is None
    positions = [card.text.index(f"\n## {section}\n") for section in SECTIONS]
    assert positions == sorted(positions)
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in card.text
    assert ("model.sample(" in card.text) == (model.degradation is None)
    described = " ".join((type(model).__doc__ or "").split("\n")[0].split())
    assert described in " ".join(card.text.split())
    assert ("is after:" in card.text) == (make is not Nearest)


def test_the_citation_is_that_of_the_project():
    named = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert f"title = {{{named['title']}}}" in cards.BIBTEX
    assert f"author = {{{named['authors'][0]['name']}}}" in cards.BIBTEX
    assert f"license = {{{named['license']}}}" in cards.BIBTEX


def test_an_addressed_card_changes_its_snippet_only():
    card = (BUNDLED["study-cnn-cifar10-x4"] / "README.md").read_text()
    moved = cards.addressed(card, "me/it")
    before, after = card.splitlines(), moved.splitlines()
    differ = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert [b for _, b in differ] == ['model = hvae_sr.load("me/it")']
