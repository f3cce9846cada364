"""Convolutions that are wide in training and plain in the saved model."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import random_images
from torch import nn

import hvae_sr
from hvae_sr.errors import TrainingError
from hvae_sr.models import HVAE, FastCNN
from hvae_sr.training import expansion, snapshots
from hvae_sr.training.data import DeadLeaves
from hvae_sr.training.loop import Trainer
from hvae_sr.training.recipes import Objective, Recipe
from hvae_sr.training.setup import Options

PLAIN = {"scale": 2, "width": 8, "blocks": 2}
RECIPE = Recipe(
    model="FastCNN",
    arguments=PLAIN,
    steps=4,
    batch_size=4,
    optimizer="adamw",
    symmetry="dihedral",
    validation=2,
    expand=True,
)


def trained(out: Path, recipe: Recipe, **options: object) -> Trainer:
    settings = Options(out=out, save_every=2, log_every=2, **options)  # type: ignore[arg-type]
    return Trainer(recipe, DeadLeaves(16, leaves=6), settings, "pytest")


def test_the_merged_model_computes_what_the_expanded_one_does():
    model = FastCNN(**PLAIN)
    expansion.expand(model)
    merged = expansion.merged(model)
    lr = random_images(2, 3, 7, 9)
    assert torch.allclose(merged(lr), model(lr), atol=1e-6)
    assert {name for name, _ in merged.named_parameters()} == {
        name for name, _ in FastCNN(**PLAIN).named_parameters()
    }


def test_widening_a_trained_model_changes_nothing_it_computes():
    model = FastCNN(**PLAIN)
    lr = random_images(2, 3, 7, 9)
    before = model(lr)
    expansion.expand(model)
    assert torch.allclose(model(lr), before, atol=1e-6)


def test_an_expanded_weight_is_three_convolutions_in_a_row_beside_one():
    weight = nn.Conv2d(5, 6, 3).weight.detach()
    wide = expansion.Expansion(weight)
    x = torch.randn(1, 5, 8, 8)
    inner = nn.functional.conv2d(x, wide.a[:, :, None, None])
    inner = nn.functional.conv2d(inner, wide.k)
    branch = nn.functional.conv2d(inner, wide.c[:, :, None, None])
    expected = nn.functional.conv2d(x, weight) + branch
    assert torch.allclose(nn.functional.conv2d(x, wide(weight)), expected, atol=1e-5)


def test_merging_leaves_the_original_and_its_copies_in_training():
    model = FastCNN(**PLAIN)
    expansion.expand(model)
    average = copy.deepcopy(model)
    lr = random_images(1, 3, 6, 6)
    before = model(lr)
    expansion.merged(average)
    expansion.merged(model)
    assert torch.equal(model(lr), before)
    assert torch.equal(average(lr), before)


def test_every_part_of_an_expanded_weight_is_trained(tmp_path: Path):
    run = trained(tmp_path, RECIPE)
    before = {name: value.detach().clone() for name, value in run.model.named_parameters()}
    run.train_step()
    still = [n for n, value in run.model.named_parameters() if torch.equal(value, before[n])]
    assert still == []


def test_a_run_saves_the_plain_model_and_resumes_exactly(tmp_path: Path):
    trained(tmp_path / "whole", RECIPE).run()
    whole = hvae_sr.load(tmp_path / "whole" / "model")
    trained(tmp_path / "parts", RECIPE, max_minutes=0).run()
    trained(tmp_path / "parts", RECIPE, resume=True).run()
    parts = hvae_sr.load(tmp_path / "parts" / "model")
    assert isinstance(whole, FastCNN)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


class TestStartingFromATrainedModel:
    def test_tensors_that_fit_are_taken_over(self, tmp_path: Path):
        source = FastCNN(**{**PLAIN, "scale": 4})
        source.save_pretrained(tmp_path / "source")
        recipe = replace(RECIPE, expand=False, init=str(tmp_path / "source"))
        run = trained(tmp_path / "run", recipe)
        assert isinstance(run.model, FastCNN)
        assert torch.equal(run.model.head.weight, source.head.weight)
        assert "10 of 12 tensors" in snapshots.facts(run)["initialised_from"]

    def test_a_model_that_shares_nothing_is_refused(self, tmp_path: Path):
        FastCNN(scale=4, width=5, blocks=0).save_pretrained(tmp_path / "source")
        with pytest.raises(TrainingError, match="no tensor"):
            trained(tmp_path / "run", replace(RECIPE, init=str(tmp_path / "source")))


class TestRegression:
    RECIPE = Recipe(
        model="HVAE",
        arguments={
            "scale": 2,
            "widths": [8, 8],
            "groups": [1, 1],
            "blocks": [1, 1],
            "latent": 2,
            "start_blocks": 1,
            "mixtures": 2,
            "degradation": "bicubic",
        },
        steps=2,
        batch_size=4,
        validation=2,
        objective=Objective(prior_weight=1.0),
    )

    def test_the_network_gives_the_base_picture_and_stays_as_it_is(self, tmp_path: Path):
        network = FastCNN(**PLAIN)
        network.save_pretrained(tmp_path / "network")
        recipe = replace(self.RECIPE, base_model=str(tmp_path / "network"))
        run = trained(tmp_path / "run", recipe)
        run.run()
        model = hvae_sr.load(tmp_path / "run" / "model")
        assert isinstance(model, HVAE) and model.base_model is not None
        for name, value in network.state_dict().items():
            assert torch.equal(value, model.base_model.state_dict()[name])

    def nested(self, network: FastCNN | HVAE) -> dict[str, Any]:
        return {"model_class": type(network).__name__, **network.config}

    def test_a_young_model_gives_the_picture_of_its_network(self):
        young = HVAE(**self.RECIPE.arguments, base_model=self.nested(FastCNN(**PLAIN)))
        bicubic = HVAE(**self.RECIPE.arguments)
        lr = random_images(1, 3, 6, 6)
        assert young.base_model is not None
        with torch.no_grad():
            near = (young(lr) - young.base_model(lr)).abs().mean()
            far = (bicubic(lr) - young.base_model(lr)).abs().mean()
        assert near < 0.2 * far

    def test_a_network_for_another_task_is_refused(self):
        with pytest.raises(ValueError, match="same scale and degradation"):
            other = self.nested(FastCNN(**{**PLAIN, "scale": 4}))
            HVAE(**self.RECIPE.arguments, base_model=other)
        with pytest.raises(ValueError, match="deterministic"):
            HVAE(**self.RECIPE.arguments, base_model=self.nested(HVAE(**self.RECIPE.arguments)))

    def test_a_deterministic_model_takes_none(self, tmp_path: Path):
        FastCNN(**PLAIN).save_pretrained(tmp_path / "network")
        with pytest.raises(TrainingError, match="takes no base model"):
            trained(tmp_path / "run", replace(RECIPE, base_model=str(tmp_path / "network")))
