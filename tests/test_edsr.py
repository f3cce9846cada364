"""EDSR is the paper's network: its sizes, and its layers in the paper's order."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, shaken, tiny_edsr, tiny_fast
from torch import Tensor

import hvae_sr
from hvae_sr.errors import ModelError
from hvae_sr.models import EDSR, FastCNN
from hvae_sr.storage.serialization import CONFIG
from hvae_sr.training.recipes import PRESETS

BASELINE = PRESETS["edsr-photo-x4-baseline"].arguments
PAPER = PRESETS["edsr-photo-x4-paper"].arguments


@pytest.mark.parametrize(
    ("arguments", "scale", "millions"),
    [
        (BASELINE, 2, 1.37),
        (BASELINE, 3, 1.55),
        (BASELINE, 4, 1.52),
        (PAPER, 2, 40.7),
        (PAPER, 3, 43.7),
        (PAPER, 4, 43.1),
    ],
)
def test_parameters_are_those_of_the_authors(arguments: dict, scale: int, millions: float):
    """As the table of models counts them in the README of sanghyun-son/EDSR-PyTorch."""
    with torch.device("meta"):
        model = EDSR(**{**arguments, "scale": scale})
    digits = 1 if millions > 10 else 2
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, digits) == millions


@pytest.mark.parametrize(("scale", "steps"), [(2, [2]), (3, [3]), (4, [2, 2])])
@torch.no_grad()
def test_forward_is_the_papers(scale: int, steps: list[int]):
    model = shaken(tiny_edsr(scale, blocks=2, residual_scaling=0.3))
    lr = random_images(2, 3, 5, 6)
    weights = list(model.parameters())

    def conv(x: Tensor) -> Tensor:
        weight, bias = weights.pop(0), weights.pop(0)
        return F.conv2d(x, weight, bias, padding=1)

    mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
    head = conv(255 * lr - 255 * mean)
    features = head
    for _ in range(2):
        features = features + 0.3 * conv(F.relu(conv(features)))
    features = head + conv(features)
    for step in steps:
        features = F.pixel_shuffle(conv(features), step)
    expected = (conv(features) + 255 * mean) / 255
    assert weights == []
    torch.testing.assert_close(model(lr), expected)


def test_the_defaults_are_the_papers_baseline():
    with torch.device("meta"):
        assert EDSR().config.items() >= BASELINE.items()


class TestTheFormerEdsr:
    """The photographs' fast network, which had the paper's name."""

    def test_a_config_of_format_2_is_of_the_fast_network(self, tmp_path: Path):
        model = shaken(tiny_fast(enlargement="bicubic_075"))
        model.save_pretrained(tmp_path)
        config = json.loads((tmp_path / CONFIG).read_text())
        del config["model_module"], config["enlargement"]
        old = {**config, "model_class": "EDSR", "format_version": 2}
        (tmp_path / CONFIG).write_text(json.dumps(old))
        loaded = hvae_sr.load(tmp_path)
        assert isinstance(loaded, FastCNN)
        lr = random_images(1, 3, 4, 5)
        assert torch.equal(loaded.upscale(lr), model.upscale(lr))
        with pytest.raises(ModelError, match="describes a FastCNN, not a EDSR"):
            EDSR.from_pretrained(tmp_path)

    def test_what_stands_on_it_is_found(self):
        base = hvae_sr.load("photo-hvae-x4").base_model
        assert isinstance(base, FastCNN)
