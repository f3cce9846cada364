"""The degradation of real pictures: repeatable, of every strength, through a real JPEG encoder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_pictures
from scipy.ndimage import gaussian_filter
from torch import Tensor

from hvae_sr.data import DeadLeaves
from hvae_sr.degradations import blind
from hvae_sr.degradations.blind import Blind
from hvae_sr.training.loop import Options, Trainer
from hvae_sr.training.recipes import PRESETS


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def leaves(count: int, side: int = 32) -> Tensor:
    return DeadLeaves(side).batch(0, 0, count).float().div(255)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_pictures_are_smaller_and_of_8_bits(scale: int):
    lr = Blind(scale)(leaves(4, 24), random(0))
    assert lr.shape == (4, 3, 24 // scale, 24 // scale)
    assert torch.equal((lr * 255).round() / 255, lr)


def test_the_same_generator_gives_the_same_pictures_and_another_one_others():
    hr, corrupt = leaves(2), Blind(4)
    assert torch.equal(corrupt(hr, random(1)), corrupt(hr, random(1)))
    assert not torch.equal(corrupt(hr, random(1)), corrupt(hr, random(2)))


def test_the_order_changes_from_batch_to_batch():
    first = {torch.randperm(4, generator=random(seed)).tolist()[0] for seed in range(40)}
    assert first == {0, 1, 2, 3}


def test_pictures_stay_recognisable_yet_differ_from_clean_ones():
    hr = leaves(8)
    clean = torch.nn.functional.avg_pool2d(hr, 4)
    errors = torch.stack(
        [(Blind(4)(hr, random(seed)) - clean).square().mean(dim=(1, 2, 3)) for seed in range(8)]
    )
    assert 1e-4 < errors.mean() < 2e-2
    assert errors.max() > 4 * errors.min()


def test_a_round_blur_is_the_one_of_scipy():
    picture = random_pictures(1, 3, 24, 24)
    blurred = blind.blur(picture, random(0), 1.2, 1.2)
    expected = np.stack(
        [gaussian_filter(c, 1.2, mode="nearest", radius=7) for c in picture[0].double().numpy()]
    )
    assert np.allclose(blurred[0].numpy(), expected, atol=1e-5)


def test_noise_reaches_its_strength():
    flat = torch.full((400, 3, 16, 16), 0.5)
    deviation = (blind.noise(flat, random(0), (0, 20)) - flat).std(dim=(1, 2, 3)) * 255
    assert deviation.min() < 1.5 and 18 < deviation.max() < 22
    assert deviation.mean() == pytest.approx(10, abs=1)


def test_jpeg_loses_a_little():
    hr = leaves(4)
    error = (blind.jpeg(hr, random(0), (35, 95)) - hr).abs().mean()
    assert 1e-3 < error < 0.1


def test_the_preset_trains_on_corrupted_pictures(tmp_path: Path):
    recipe = replace(
        PRESETS["photo-cnn-x4-real"],
        arguments={"scale": 4, "width": 8, "blocks": 1},
        init=None,
        steps=2,
        batch_size=4,
        validation=2,
    )
    run = Trainer(recipe, DeadLeaves(16, leaves=6), Options(out=tmp_path), "pytest")
    hr, lr = run.batch(3, 4)
    again = run.batch(3, 4)[1]
    assert lr is not None and again is not None and run.model.degradation is not None
    assert torch.equal(lr, again)
    assert not torch.allclose(lr, run.model.degradation(hr), atol=2 / 255)
    run.run()
