"""The degradation of real images: repeatable, of stated strength, through real encoders."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import random_images
from scipy.ndimage import gaussian_filter
from torch import Tensor

from hvae_sr.degradations import blind, get_degradation
from hvae_sr.degradations.blind import FIRST, SECOND, STRENGTHS, Blind, Draws, Stage
from hvae_sr.training.data import DeadLeaves
from hvae_sr.training.loop import Trainer
from hvae_sr.training.recipes import PRESETS
from hvae_sr.training.setup import Options

NOTHING: dict[str, Any] = {"blur": 0.0, "resize": 0.0, "noise": 0.0, "compress": 0.0}
IDLE = replace(FIRST, **NOTHING)
HARMLESS: dict[str, Any] = {"first": IDLE, "second": IDLE, "clean": 0.0, "ringing": 0.0}


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def leaves(count: int, side: int = 32) -> Tensor:
    return DeadLeaves(side).batch(0, 0, count).hr.float().div(255)


def errors(corrupt: Blind, hr: Tensor) -> Tensor:
    """Mean squared error against clean LR images, over eight seeds each."""
    clean = F.avg_pool2d(hr, 4)
    return torch.stack(
        [(corrupt(hr, random(s)) - clean).square().mean((1, 2, 3)) for s in range(8)]
    )


@pytest.mark.parametrize("strength", list(STRENGTHS))
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_images_are_smaller_and_of_8_bits(scale: int, strength: str):
    lr = Blind(scale, **STRENGTHS[strength])(leaves(6, 24), random(0))
    assert lr.shape == (6, 3, 24 // scale, 24 // scale)
    assert torch.equal((lr * 255).round() / 255, lr)


def test_sizes_that_are_no_multiple_of_the_scale_are_refused():
    with pytest.raises(ValueError, match="crop it to multiples of 4"):
        Blind(4)(leaves(1, 30), random(0))


def test_the_same_generator_gives_the_same_images_and_another_one_others():
    hr, corrupt = leaves(4), Blind(4)
    assert torch.equal(corrupt(hr, random(1)), corrupt(hr, random(1)))
    assert not torch.equal(corrupt(hr, random(1)), corrupt(hr, random(2)))


def test_the_seed_alone_decides_about_an_image_whatever_stands_beside_it():
    hr = leaves(3)
    assert torch.equal(Blind(4).corrupt(hr[2], 5), Blind(4).corrupt(hr[2].clone(), 5))


def test_strengths_are_json_and_come_back_the_same():
    heavy = Blind(4, **STRENGTHS["heavy"])
    stored = json.loads(json.dumps(asdict(heavy)))
    assert Blind(**stored) == heavy != Blind(4)
    hr = leaves(2)
    assert torch.equal(Blind(**stored)(hr, random(3)), heavy(hr, random(3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clean": 1.5}, "clean is a share"),
        ({"film": math.nan}, "film is a share"),
        ({"cutoff": (2.0, 1.0)}, "cutoff must be a range"),
        ({"cutoff": 2.0}, "cutoff must be a pair"),
        ({"first": {**asdict(FIRST), "quality": [0, 95]}}, "quality must be a range within 1"),
        ({"second": {**asdict(SECOND), "sigma": [0.0, math.inf]}}, "sigma must be a range"),
    ],
)
def test_strengths_that_are_none_are_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Blind(4, **arguments)


def test_images_stay_recognisable_yet_differ_from_clean_ones():
    found = errors(Blind(4), leaves(8))
    assert 1e-4 < found.mean() < 2e-2
    assert found.max() > 4 * found.min()


def test_the_named_heavier_strength_is_heavier():
    hr = leaves(16)
    heavy = Blind(4, **STRENGTHS["heavy"])
    assert errors(heavy, hr).mean() > 1.2 * errors(Blind(4), hr).mean()


def test_clean_images_are_only_shrunk():
    hr = leaves(3)
    expected = F.interpolate(hr, scale_factor=0.25, mode="bicubic", antialias=True)
    lr = Blind(4, clean=1.0)(hr, random(0))
    assert (lr - expected.clamp(0, 1)).abs().max() < 0.51 / 255


def record(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the corruptions, in the order in which they happen."""
    seen: list[str] = []
    for name in ("convolve", "resize", "through_file"):
        real = getattr(blind, name)

        def spy(*args: Any, name: str = name, real: Any = real, **options: Any) -> Tensor:
            seen.append(name)
            result: Tensor = real(*args, **options)
            return result

        monkeypatch.setattr(blind, name, spy)
    return seen


def test_both_stages_happen_in_orders_that_differ(monkeypatch: pytest.MonkeyPatch):
    seen = record(monkeypatch)
    always: dict[str, Any] = {"blur": 1.0, "resize": 1.0, "compress": 1.0}
    stages = {"first": replace(FIRST, **always), "second": replace(SECOND, **always)}
    corrupt = Blind(4, **stages, clean=0.0, film=0.0, ringing=0.0)
    hr, orders = leaves(1)[0], set()
    for seed in range(40):
        seen.clear()
        corrupt.corrupt(hr, seed)
        assert sorted(seen) == ["convolve"] * 2 + ["resize"] * 3 + ["through_file"] * 2
        orders.add(tuple(seen))
    assert len(orders) > 10
    assert {order[-1] for order in orders} == {"resize", "through_file"}


def test_what_has_no_share_does_not_happen(monkeypatch: pytest.MonkeyPatch):
    seen = record(monkeypatch)
    Blind(4, **HARMLESS)(leaves(4), random(0))
    assert set(seen) == {"resize"} and len(seen) == 4


def test_a_round_blur_is_the_one_of_scipy():
    image = random_images(1, 3, 24, 24)[0]
    blurred = blind.convolve(image, blind.kernel(1.2, 1.2, 0.3))
    expected = np.stack(
        [gaussian_filter(c, 1.2, mode="nearest", radius=4) for c in image.double().numpy()]
    )
    assert np.allclose(blurred.numpy(), expected, atol=1e-5)


def test_a_blur_along_a_direction_has_its_two_deviations():
    along, across, angle = 2.4, 0.8, 0.7
    weights = blind.kernel(along, across, angle)
    y, x = blind.grid(weights.shape[-1] // 2)
    u = x * math.cos(angle) + y * math.sin(angle)
    v = y * math.cos(angle) - x * math.sin(angle)
    assert weights.sum() == pytest.approx(1)
    assert (weights * u**2).sum().sqrt() == pytest.approx(along, rel=0.05)
    assert (weights * v**2).sum().sqrt() == pytest.approx(across, rel=0.05)


def test_blurs_with_other_tails_are_drawn_and_of_sum_1():
    q = torch.tensor(1.7)
    values = {round(Draws(seed).tails()(q).item(), 4) for seed in range(20)}
    assert len(values) == 20
    assert blind.kernel(1, 2, 0, Draws(0).tails()).sum() == pytest.approx(1)


def test_the_blur_covers_the_same_share_of_the_image_at_every_size():
    """The stage's unit is its own grid, however large the image is when the blur's turn comes."""
    stage = replace(IDLE, blur=1.0, sigma=(2.0, 2.0))
    corrupt = Blind(4, **HARMLESS)
    soften = corrupt._optics(stage, Draws(0), (64, 64), 1)[0]
    for side in (64, 32):
        impulse = torch.zeros(3, side, side)
        impulse[:, side // 2, side // 2] = 1
        axis = torch.arange(side) - side // 2
        variance = (soften(impulse)[0].sum(0) * axis**2).sum()
        assert variance.sqrt() == pytest.approx(2 * side / 64, rel=0.06)


@pytest.mark.parametrize("grey", [0.0, 1.0])
@pytest.mark.parametrize("shot", [0.0, 1.0])
def test_noise_has_its_strength_and_its_kind(shot: float, grey: float):
    stage = replace(IDLE, noise=1.0, noise_std=(10.0, 10.0))
    corrupt = Blind(4, **HARMLESS | {"shot": shot, "grey": grey})
    disturb = corrupt._optics(stage, Draws(0), (96, 96), 1)[2]
    for value in (0.25, 0.81):
        noise = (disturb(torch.full((3, 96, 96), value)) - value) * 255
        assert noise.std() == pytest.approx(10 * (math.sqrt(value) if shot else 1), rel=0.03)
        assert torch.allclose(noise[0], noise[1]) == bool(grey)


def test_ringing_is_a_lowpass_that_overshoots_at_edges():
    edge = torch.zeros(3, 33, 33)
    edge[:, :, 16:] = 1
    rung = blind.convolve(edge, blind.lowpass(math.pi / 2))
    assert rung.max() > 1.03 and rung.min() < -0.03
    weights = blind.lowpass(math.pi / 2)
    _, x = blind.grid(blind.RINGING_RADIUS)
    slow, fast = ((weights * torch.cos(w * x)).sum().item() for w in (0.25 * math.pi, math.pi))
    assert slow == pytest.approx(1, abs=0.1) and abs(fast) < 0.1


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {"subsampling": "4:2:0"}), ("JPEG", {"subsampling": "4:4:4"}), ("WEBP", {})],
)
def test_files_lose_more_at_lower_quality(kind: str, options: dict[str, Any]):
    image = leaves(1, 48)[0]
    high, low = (
        (blind.through_file(image, kind, quality=quality, **options) - image).abs().mean()
        for quality in (95, 30)
    )
    assert 1e-3 < high < low < 0.1


def test_subsampling_takes_colour_and_spares_grey():
    colours = torch.zeros(3, 32, 32)
    colours[0, :, ::2] = 1
    full, half = (
        (blind.through_file(colours, "JPEG", quality=95, subsampling=s) - colours).abs().mean()
        for s in ("4:4:4", "4:2:0")
    )
    assert half > 3 * full


def test_a_film_frame_is_the_image_the_worse_the_higher_the_rate_factor():
    pytest.importorskip("av")
    image = F.avg_pool2d(leaves(1, 66), 2)[0][:, :31]  # of odd size
    assert image.shape == (3, 31, 33)
    good, bad = (blind.film_frame(image, rate) for rate in (12, 45))
    assert good.shape == image.shape
    assert (good - image).abs().mean() < 0.05
    assert (bad - image).square().mean() > 2 * (good - image).square().mean()
    assert torch.equal(blind.film_frame(image, 30), blind.film_frame(image, 30))


def test_a_film_without_pyav_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)
    compressed = replace(SECOND, compress=1.0)
    with pytest.raises(ModuleNotFoundError, match="pip install av, or set film=0"):
        Blind(4, second=compressed, film=1.0, clean=0.0)(leaves(1), random(0))
    Blind(4, second=compressed, film=0.0, clean=0.0)(leaves(1), random(0))


def test_nothing_but_torch_numpy_and_pillow_is_needed():
    code = (
        "import sys; sys.modules.update(av=None, gradio=None, torchvision=None, scipy=None, "
        "psutil=None, huggingface_hub=None, safetensors=None, accelerate=None);"
        "import torch; from hvae_sr.degradations.blind import Blind;"
        "Blind(4, film=0.0)(torch.rand(4, 3, 32, 32), torch.Generator())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def test_a_stage_may_be_a_mapping():
    assert Blind(4, first=asdict(FIRST)) == Blind(4)  # type: ignore[arg-type]
    assert isinstance(Blind(4).first, Stage)


def test_the_preset_trains_on_what_its_config_names(tmp_path: Path):
    recipe = PRESETS["photo-real-x4"]
    arguments = {**recipe.arguments, "width": 8, "blocks": 1}
    changes = {"arguments": arguments, "init": None, "steps": 2, "batch_size": 4, "validation": 2}
    recipe = replace(recipe, **changes)
    run = Trainer(recipe, DeadLeaves(16, leaves=6), Options(out=tmp_path), "pytest")
    hr, lr, _ = run.batch(3, 4)
    again = run.batch(3, 4).lr
    assert lr is not None and again is not None
    assert torch.equal(lr, again)
    assert not torch.allclose(lr, get_degradation("bicubic", 4)(hr), atol=2 / 255)
    model = run.run()
    assert isinstance(model.degradation, Blind)
    with pytest.raises(ValueError, match="leave `consistent` out"):
        model.upscale(lr, consistent=True)
