"""The study's experiment again: variants as data, outcomes by known models, resuming, the page."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import shaken, smooth_images, tiny_study_vae, tiny_vae
from PIL import Image

from benchmarks import __main__ as benchmarks
from benchmarks import ablation
from hvae_sr.errors import TrainingError
from hvae_sr.evaluation.references import References
from hvae_sr.models.registry import MODELS
from hvae_sr.training.data import Stack

EVERY = [variant for part in ablation.VARIANTS.values() for variant in part]


def tiny(name: str) -> ablation.Variant:
    """A variant by name, its network small."""
    (variant,) = [v for v in EVERY if v.name == name]
    arguments = {**variant.recipe.arguments, "width": 8, "blocks": 1}
    recipe = replace(variant.recipe, arguments=arguments, batch_size=8, validation=4)
    return replace(variant, recipe=recipe)


@pytest.fixture
def bench(tmp_path) -> ablation.Bench:
    pixels = smooth_images(24, 3, 16, 16).mul(255).byte()
    references = References([pixels[:6], pixels[6:10]], "smooth")
    return ablation.Bench(Stack(pixels, "smooth"), references, 3, tmp_path / "runs")


def differences(recipe: object, base: object) -> set[str]:
    return {key for key, value in vars(recipe).items() if value != getattr(base, key)}


def test_every_variant_is_one_change_that_a_model_can_take():
    assert len({v.name for v in EVERY}) == len(EVERY) == len({v.what for v in EVERY})
    for variant in EVERY:
        MODELS.get(variant.recipe.model)(**variant.recipe.arguments)
    knobs, cures, _ = ablation.VARIANTS.values()
    assert differences(knobs[0].recipe, ablation.STUDY) == set()
    assert all(len(differences(v.recipe, ablation.STUDY)) == 1 for v in [*knobs[1:], *cures])


def test_a_constant_is_as_wrong_as_the_pictures_vary():
    hr = torch.rand(50, 3, 4, 4)
    expected = np.mean([channel.var() for channel in hr.transpose(0, 1).numpy()])
    assert ablation.error_of_a_constant(hr) == pytest.approx(expected, rel=1e-4)


def test_a_decoder_that_ignores_its_latents_is_grey():
    hr = smooth_images(12, 3, 16, 16)
    model = tiny_study_vae().eval()
    with torch.no_grad():
        model.head[1].weight.zero_()
        model.head[1].bias.copy_((hr.mean(dim=(0, 2, 3)).logit()).repeat_interleave(16))
    outcome, row = ablation.examine(model, hr)
    constant = ablation.error_of_a_constant(hr)
    assert outcome.reconstruction == pytest.approx(constant, rel=1e-3)
    assert outcome.kept == pytest.approx(0, abs=1e-6)
    assert outcome.verdict(constant) == "**grey**"
    assert row.size == (ablation.SHOWN * 16, 16)
    assert np.ptp(np.asarray(row).reshape(-1, 3), axis=0).max() == 0


def test_a_model_on_top_of_bicubic_is_not_grey():
    hr = smooth_images(12, 3, 16, 16)
    outcome, _ = ablation.examine(tiny_vae().eval(), hr)
    assert outcome.verdict(ablation.error_of_a_constant(hr)) == "learns"
    assert 0.5 < outcome.kept < 1.1 and outcome.rate > 0


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (ablation.Outcome(0.05, 0.05, 0.5, 100.0), "learns"),
        (ablation.Outcome(0.0601, 0.07, 0.001, 0.0), "**grey**"),
        (ablation.Outcome(0.2, 0.2, 0.4, 0.0), "**no better than grey**"),
        (ablation.Outcome(None, None, None, None), "diverged"),
    ],
)
def test_verdicts(outcome, verdict):
    assert outcome.verdict(0.063) == verdict


def test_finished_variants_are_not_trained_again(bench, monkeypatch):
    variants = [tiny("study"), tiny("sees-y")]
    said: list[str] = []
    first = ablation.run(bench, variants, said.append)
    assert [line.split(":")[0] for line in said] == ["study", "sees-y"]
    trained: list[ablation.Variant] = []
    original = ablation._trained

    def noted(variant, *rest):
        trained.append(variant)
        return original(variant, *rest)

    monkeypatch.setattr(ablation, "_trained", noted)
    assert ablation.run(bench, variants, said.append) == first and not trained
    ablation.run(replace(bench, steps=2), variants[:1], said.append)
    assert [variant.name for variant in trained] == ["study"]


def test_weights_that_are_not_finite_are_a_result(bench, monkeypatch):
    def broken(*_: object) -> None:
        raise TrainingError("the last 50 gradients were not finite")

    monkeypatch.setattr("hvae_sr.training.loop.Trainer.run", broken)
    outcomes = ablation.run(bench, [tiny("study")], lambda _: None)
    page = ablation.page(bench, outcomes, "python -m benchmarks ablation", "sheet.png")
    cells = "| not finite | not finite | not finite | not finite | diverged |"
    assert f"| nothing: the study's VAE {cells}" in page
    json.loads((bench.runs / "study.json").read_text(), parse_constant=pytest.fail)


def test_nan_pictures_are_told_from_bad_ones(bench):
    model = shaken(tiny_study_vae())
    with torch.no_grad():
        model.head[1].bias.fill_(torch.nan)
    model.upscale = lambda lr: torch.full((len(lr), 3, 16, 16), torch.nan)
    outcome, _ = ablation.examine(model, bench.hr())
    assert outcome.reconstruction is None and outcome.verdict(0.06) == "diverged"


def test_the_sheet_shows_originals_above_what_became_of_them(bench):
    variants = [tiny("study"), tiny("sees-y")]
    ablation.run(bench, variants, lambda _: None)
    drawn = np.asarray(ablation.sheet(bench, variants))
    side = ablation.SIDE
    assert drawn.shape == (3 * side, ablation.LABEL + ablation.SHOWN * side, 3)
    for row in range(3):
        label = drawn[row * side : (row + 1) * side, : ablation.LABEL]
        assert label.min() < 100 < label.max()
    first = drawn[0 : side : side // 16, ablation.LABEL :: side // 16][:, :16]
    expected = ablation.shown(16)[0].mul(255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(first, expected)


def test_the_command_writes_page_and_image(tmp_path, monkeypatch, capsys):
    small = {"few": [tiny("study"), tiny("sees-y")]}
    monkeypatch.setattr(ablation, "VARIANTS", small)
    pixels = smooth_images(20, 3, 16, 16).mul(255).byte().permute(0, 2, 3, 1).numpy()
    np.save(tmp_path / "train.npy", pixels)
    np.save(tmp_path / "test.npy", pixels[:9])
    arguments = ["ablation", "--data", tmp_path / "train.npy", "--test", tmp_path / "test.npy"]
    arguments += ["--steps", 2, "--runs", tmp_path / "runs", "--out", tmp_path / "grey"]
    assert benchmarks.main([str(argument) for argument in arguments]) == 0
    assert "step/s" not in capsys.readouterr().err
    page = (tmp_path / "grey.md").read_text()
    assert "python -m benchmarks ablation --data train.npy --test test.npy --steps 2" in page
    assert "## few" in page and "](grey.png)" in page and str(tmp_path) not in page
    assert Image.open(tmp_path / "grey.png").height == 3 * ablation.SIDE
