"""Scores, bounds, baselines and cards: against independent arithmetic, and against each other."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import (
    GENERATIVE,
    random_images,
    shaken,
    tiny_cnn,
    tiny_hvae,
    tiny_lr_prior,
    tiny_study_vae,
)
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import hvae_sr
from hvae_sr.degradations import get_degradation
from hvae_sr.evaluation import bounds, metrics, report, tables
from hvae_sr.evaluation.baselines import LinearMMSE, interpolations
from hvae_sr.evaluation.references import References, load_references
from hvae_sr.models.latent import ActiveUnits, mean_shifts
from hvae_sr.nn.latents import DiagonalGaussian
from hvae_sr.nn.noise import Noise

ROOT = Path(__file__).parent.parent
BUNDLED = hvae_sr.bundled()


def smooth_images(count: int, seed: int = 0) -> torch.Tensor:
    """Images that a linear map can restore well: low frequencies only."""
    small = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(small, size=(16, 16), mode="bicubic")
    return large.clamp(0, 1).mul(255).round().div(255)


def test_psnr_and_ssim_agree_with_scikit_image():
    a = torch.nn.functional.interpolate(smooth_images(3), size=(32, 32))
    b = (a + 0.2 * (random_images(3, 3, 32, 32) - 0.5)).clamp(0, 1)
    for index in range(3):
        x, y = (t[index].permute(1, 2, 0).double().numpy() for t in (a, b))
        expected = peak_signal_noise_ratio(y, x, data_range=1.0)
        assert float(metrics.psnr(a, b)[index]) == pytest.approx(expected, abs=1e-4)
        settings = {"gaussian_weights": True, "use_sample_covariance": False, "full": True}
        _, every = structural_similarity(y, x, data_range=1.0, channel_axis=2, **settings)
        # torchmetrics reflects borders without repeating the edge pixel, scikit-image with it
        assert float(metrics.ssim(a, b)[index]) == pytest.approx(every.mean(), abs=3e-3)


def test_psnr_is_measured_per_picture_not_pooled():
    hr = torch.full((2, 3, 8, 8), 0.5)
    off = hr.clone()
    off[0] += 10 / 255
    off[1] += 40 / 255
    scores = metrics.score(off, hr, get_degradation("area", 2)(hr), get_degradation("area", 2))
    each = [-20 * math.log10(round(127.5 + d) / 255 - 0.5) for d in (10, 40)]
    assert scores.psnr.tolist() == pytest.approx(each, abs=1e-3)


def test_identical_pictures_score_finitely():
    hr = random_images(1, 3, 16, 16)
    down = get_degradation("area", 2)
    scores = metrics.score(hr, hr, down.linear(hr), down)
    assert scores.psnr == 100 and scores.lr_psnr == 100 and scores.mse == 0


def test_linear_mmse_recovers_a_linear_world():
    training, fresh = smooth_images(400), smooth_images(20, seed=1)
    down = get_degradation("gaussian", 4)
    linear = LinearMMSE(training, down)
    restored = metrics.psnr(linear(down(fresh)), fresh).mean()
    bicubic = metrics.psnr(interpolations(down(fresh), down)["bicubic"], fresh).mean()
    assert restored > bicubic + 6


def test_linear_mmse_is_the_least_squares_solution():
    training = random_images(300, 3, 8, 8)
    down = get_degradation("area", 4)
    features = down(training).flatten(1).double().numpy()
    features = np.concatenate([features, np.ones((300, 1))], axis=1)
    expected, *_ = np.linalg.lstsq(features, training.flatten(1).double().numpy(), rcond=None)
    restored = LinearMMSE(training, down)(down(training)).flatten(1).numpy()
    np.testing.assert_allclose(restored, (features @ expected).clip(0, 1), atol=2e-3)


def wave(side: int, half_periods: int, amplitude: float) -> torch.Tensor:
    """A cosine down the image, even at both borders: (1, 1, side, side)."""
    place = (torch.arange(side) + 0.5) / side
    column = amplitude * torch.cos(math.pi * half_periods * place)
    return (0.5 + column)[None, None, :, None].expand(1, 1, side, side)


@pytest.mark.parametrize(("scale", "side"), [(2, 32), (3, 48), (4, 32)])
def test_detail_is_the_power_beyond_the_lr_grid(scale, side):
    last = side // scale  # half periods: as fine as LR pixels can alternate
    for axes in ((-2, -1), (-1, -2)):
        below, above = (wave(side, n, 0.3).transpose(*axes) for n in (last, last + 1))
        assert float(metrics.detail(below, scale)) < 1e-10
        assert float(metrics.detail(above, scale)) == pytest.approx(0.3**2 / 2, rel=1e-4)
        assert float(metrics.detail(0.5 * above + below, scale)) == pytest.approx(
            0.15**2 / 2, rel=1e-4
        )


def test_a_gradient_has_little_detail_though_its_borders_differ():
    ramp = torch.linspace(0, 1, 32).expand(1, 1, 32, 32)
    assert float(metrics.detail(ramp, 4)) < 1e-3 * float(ramp.var())


def test_sharpness_is_a_share_of_all_pictures_energy():
    """Half the contrast is a quarter of the energy; a flat image neither helps nor divides."""
    flat = torch.full((1, 3, 16, 16), 0.5)
    hr = torch.cat([random_images(1, 3, 16, 16), flat])
    down = get_degradation("area", 4)
    scores = metrics.score(0.5 + 0.5 * (hr - 0.5), hr, down(hr), down)
    totals = report.Totals()
    totals.add("half", scores)
    totals.add("flat", metrics.score(flat, flat, down(flat), down))
    means = totals.means()
    assert means["half"]["sharpness"] == pytest.approx(0.25, abs=0.01)
    assert "sharpness" not in means["flat"]


def test_bicubic_is_smoother_than_the_original_and_noise_is_sharper():
    references = References([smooth_images(4).mul(255).byte()], "smooth")
    scores = report.evaluate(tiny_cnn().eval(), references)["scores"]
    assert 0 < scores["bicubic"]["sharpness"] < scores["nearest"]["sharpness"]


@pytest.mark.parametrize("name", GENERATIVE)
def test_many_draws_make_the_bound_of_all_their_weights(name):
    """Folded one by one, and of images in two batches, as torch computes it at once."""
    model, hr = shaken(GENERATIVE[name]()), random_images(6, 3, 16, 16)
    pairs = [(part, model.degradation(part)) for part in hr.split(4)]
    measured = bounds.measure(model, pairs, draws=9, seed=3)
    noise = Noise(3)
    with torch.inference_mode():
        weights = torch.cat(
            [
                torch.stack([model.elbo(*pair, noise).log_importance_weight for _ in range(9)])
                for pair in pairs
            ],
            dim=1,
        )
    nats = (torch.logsumexp(weights, dim=0) - math.log(9)).mean()
    assert measured.importance_weighted == pytest.approx(
        float(-nats) / (math.log(2) * hr[0].numel()), rel=1e-5
    )


def test_active_units_are_those_whose_means_move():
    """Of two channels the first one's mean moves by 0.2 at one place and by 0.05 at another."""
    means = torch.zeros(8, 2, 3, 3)
    signs = torch.tensor([1.0, -1.0] * 4)
    means[:, 0, 0, 0] = 5 + 0.2 * signs
    means[:, 0, 1, 1] = 0.05 * signs
    activity = ActiveUnits()
    for part in means.split(3):
        activity.add([part, part.flip(1)])
    assert activity.units == [[2, 3, 3], [2, 3, 3]]
    assert activity.active == [1, 1]
    activity.add([torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)])
    assert activity.units == activity.active == []


def test_a_posterior_that_follows_its_prior_is_not_active():
    """However far both move with the image, the shift between them stays."""
    model, hr = shaken(tiny_hvae(), 0.3), random_images(6, 3, 16, 16)
    with torch.no_grad():
        bound = model.elbo(hr, model.degradation(hr), Noise(0))
    assert bound.latents[1].prior.mean.var(dim=0).max() > 0.01
    followed = []
    for latent in bound.latents:
        mean = latent.prior.mean + 0.5 * latent.prior.std
        q = DiagonalGaussian(mean, latent.prior.std)
        followed.append(replace(latent, posterior=q))
    activity, means = ActiveUnits(), ActiveUnits()
    activity.add(mean_shifts([replace(bound, latents=followed)]))
    means.add([latent.posterior.mean for latent in followed])
    assert activity.active == [0, 0, 0]
    assert max(means.active) > 0


def test_units_of_a_sleeping_model_are_inactive():
    model, hr = tiny_hvae(), random_images(4, 3, 16, 16)
    with torch.no_grad():
        for levels in model.decoder.levels:
            for group in levels:
                group.posterior.last.weight.zero_()
                group.posterior.last.bias.zero_()
    measured = bounds.measure(model, [(hr, model.degradation(hr))])
    assert measured.units == [[2, 4, 4], [2, 8, 8], [2, 8, 8]]
    assert measured.active == [0, 0, 0]
    awake = bounds.measure(shaken(model), [(hr, model.degradation(hr))])
    assert max(awake.active) > 0


def test_more_draws_never_loosen_the_bound():
    model, hr = shaken(tiny_hvae()), random_images(16, 3, 16, 16)
    measured = bounds.measure(model, [(hr, model.degradation(hr))], draws=24)
    assert measured.importance_weighted < measured.total
    assert measured.total == pytest.approx(measured.distortion + measured.rate)
    assert measured.rate == pytest.approx(sum(measured.rates), rel=1e-5)


def test_bits_of_x_are_the_sum_of_both_parts():
    model = tiny_hvae().with_lr_prior(tiny_lr_prior()).eval()
    references = References([random_images(4, 3, 16, 16)], "noise")
    bits = report.evaluate(model, references, draws=2)["bits"]
    for key in ("total", "importance_weighted"):
        assert bits["x"][key] == pytest.approx(bits["x given y"][key] + bits["y"][key] / 16)


@pytest.mark.parametrize("model", [tiny_cnn(), tiny_hvae(), tiny_study_vae()], ids=type)
def test_every_class_can_be_reported(model):
    references = References([random_images(2, 3, 16, 16)], "noise")
    result = report.evaluate(model.eval(), references, training=None)
    assert json.loads(json.dumps(result))["images"] == 2
    text = tables.markdown(result)
    assert "bicubic, projected" in text and "nan" not in text


def test_folders_of_different_sizes_are_cropped_to_the_scale(tmp_path):
    from PIL import Image

    for index, size in enumerate([(17, 13), (20, 32)]):
        Image.new("RGB", size, (index, 2, 3)).save(tmp_path / f"{index}.png")
    references = load_references(str(tmp_path), 4)
    assert [tuple(batch.shape) for batch in references.batches] == [(1, 3, 12, 16), (1, 3, 32, 20)]


@pytest.mark.parametrize("name", BUNDLED)
def test_training_facts_are_of_a_finished_run(name):
    facts = json.loads((BUNDLED[name] / "training.json").read_text())
    assert facts["steps"] > 100
    if minutes := facts.get("anneal_minutes"):
        assert facts["minutes"] >= minutes
    else:
        assert facts["steps"] == facts["recipe"]["steps"]
    card = (BUNDLED[name] / "README.md").read_text()
    for start in (facts.get("initialised_from"), facts.get("base_model")):
        assert start is None or start in card.split("## Training")[1]


def test_the_readme_shows_the_measured_tables():
    readme = (ROOT / "README.md").read_text()
    assert [table for table in tables.bundled_tables() if table not in readme] == []


def test_hvae_samples_behave_as_a_posterior_should():
    """From the reported figures: awake latents, diverse samples, both within sane limits."""
    results = json.loads((BUNDLED["hvae-cifar10-x4"] / "results.json").read_text())
    scores, bits = results["scores"], results["bits"]["x given y"]
    assert 1.5 <= scores["mean of 16"]["psnr"] - scores["T = 1"]["psnr"] <= 3.0
    assert bits["rate"] > 0.08 * bits["total"]
    assert min(bits["nats_per_map"]) > 0.01
    assert scores["T = 0.8, projected"]["lr_psnr"] > 45
