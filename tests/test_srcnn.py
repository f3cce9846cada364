"""SRCNN is the paper's network: its size, its layers, its borders, and what it leaves alone."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import random_images, shaken, smooth_images, tiny_cnn, tiny_srcnn
from skimage.color import rgb2ycbcr

import hvae_sr
from hvae_sr import hub
from hvae_sr.degradations import get_degradation
from hvae_sr.errors import ModelError
from hvae_sr.models import SRCNN, StudyCNN
from hvae_sr.nn.colour import luma
from hvae_sr.nn.resize import enlarge
from hvae_sr.storage.serialization import CONFIG


@pytest.mark.parametrize(("kernels", "parameters"), [([9, 5, 5], 57_281), ([9, 1, 5], 8_129)])
def test_the_papers_sizes(kernels: list[int], parameters: int):
    """Dong et al. 2016 count 57,184 and 8,032 weights (section 4.3.2): without the 97 biases."""
    with torch.device("meta"):
        model = SRCNN(kernels=kernels)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert sum(p.numel() for p in model.parameters() if p.ndim > 1) == parameters - 64 - 32 - 1


def test_forward_is_three_convolutions_on_luma_with_repeated_borders():
    model, lr = shaken(tiny_srcnn(3)).requires_grad_(False), random_images(2, 3, 5, 6)
    bicubic = enlarge(lr, 3)
    features = luma(bicubic)
    convolutions = [layer for layer in model.layers if isinstance(layer, torch.nn.Conv2d)]
    for index, conv in enumerate(convolutions):
        radius = conv.kernel_size[0] // 2
        padded = F.pad(features, (radius,) * 4, mode="replicate")
        features = F.conv2d(padded, conv.weight, conv.bias)
        if index < len(convolutions) - 1:
            features = features.clamp_min(0)
    found = model(lr)
    torch.testing.assert_close(luma(found), features)
    assert float((luma(found) - luma(bicubic)).abs().max()) > 0.01


def test_chroma_stays_bicubic():
    model, lr = shaken(tiny_srcnn(), 0.05), smooth_images(1, 3, 6, 7)
    found, bicubic = (
        rgb2ycbcr(image[0].permute(1, 2, 0).detach().double().numpy())
        for image in (model(lr), enlarge(lr, 4))
    )
    assert abs(found - bicubic)[..., 0].max() > 1
    assert abs(found - bicubic)[..., 1:].max() < 1e-3


def test_training_starts_near_bicubic():
    lr = random_images(1, 3, 6, 6)
    with torch.no_grad():
        assert float((SRCNN()(lr) - enlarge(lr, 4)).abs().max()) < 0.1


@torch.no_grad()
def test_the_loss_is_of_luma_alone():
    model, hr = tiny_srcnn(), smooth_images(2, 3, 12, 12)
    lr = get_degradation("gaussian", 4)(hr)
    loss = float(model.loss(hr, lr)["loss"])
    assert loss == pytest.approx(float((luma(model(lr)) - luma(hr)).square().mean()), rel=1e-5)
    # red and blue whose shares of Y cancel: nothing that the loss sees
    other = hr + torch.tensor([24.966, 0.0, -65.481]).view(1, 3, 1, 1) / 1e3
    assert float(model.loss(other, lr)["loss"]) == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(("scale", "expected"), [(2, 6), (3, 5), (4, 4)])
def test_the_receptive_field_is_the_networks_and_bicubics(scale: int, expected: int):
    """8 HR pixels of 9-5-5 and 2 LR pixels of cubic interpolation, rounded up to LR pixels."""
    assert SRCNN(scale).receptive_field == expected


def test_tiled_equals_whole():
    model, lr = shaken(tiny_srcnn()), random_images(1, 3, 70, 66)
    torch.testing.assert_close(model.upscale(lr, tile=32), model.upscale(lr, tile=None))


@pytest.mark.parametrize("wrong", [{"kernels": [9, 4, 5]}, {"kernels": [9, 5]}, {"filters": [64]}])
def test_layers_that_do_not_fit_are_refused(wrong: dict[str, list[int]]):
    with pytest.raises(ValueError, match="odd numbers, one more than filters"):
        SRCNN(**wrong)


class TestTheFormerSrcnn:
    """The study's network, which had the paper's name."""

    def test_a_config_of_format_2_is_of_the_study(self, tmp_path: Path):
        model = shaken(tiny_cnn(enlargement="bicubic_075"))
        model.save_pretrained(tmp_path)
        config = json.loads((tmp_path / CONFIG).read_text())
        del config["model_module"], config["enlargement"]
        old = {**config, "model_class": "SRCNN", "format_version": 2}
        (tmp_path / CONFIG).write_text(json.dumps(old))
        loaded = hvae_sr.load(tmp_path)
        assert isinstance(loaded, StudyCNN)
        lr = random_images(1, 3, 4, 5)
        assert torch.equal(loaded.upscale(lr), model.upscale(lr))
        with pytest.raises(ModelError, match="describes a StudyCNN, not a SRCNN"):
            SRCNN.from_pretrained(tmp_path)

    @pytest.mark.parametrize("call", [hvae_sr.load, lambda name: hub.push(name, "me/it")])
    def test_the_old_name_names_the_new_one(self, call, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ModelError, match="'srcnn-cifar10-x4' is called 'study-cnn-cifar10-x4'"):
            call("srcnn-cifar10-x4")
        assert isinstance(hvae_sr.load("study-cnn-cifar10-x4"), StudyCNN)
