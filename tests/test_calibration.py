"""Calibration of a whole evaluation: of samples of p(x | y), on a model whose p(x | y) is known."""

import math

import pytest
import torch
from torch import Tensor, nn

from hvae_sr.evaluation import report, tables
from hvae_sr.evaluation.references import References
from hvae_sr.models.latent import Activations, Features, GenerativeModel, Level, Start
from hvae_sr.nn.distributions import FixedGaussian
from hvae_sr.nn.latents import DiagonalGaussian, LatentSample, LatentSource
from hvae_sr.nn.resize import quantise

SIGMA = 0.06  # of the likelihood, images in [0, 1]
SPREAD = 0.08  # of what the latents do to an image: with SIGMA a deviation of 0.1


class KnownNoise(GenerativeModel):
    """x = 0.5 + SPREAD z + SIGMA e with a latent for every value, whatever the LR image is."""

    def __init__(self, scale: int = 2, degradation: str = "area"):
        super().__init__(scale, degradation, None)
        self.anchor = nn.Parameter(torch.zeros(1))
        self.likelihood = FixedGaussian(SIGMA)
        self.levels = [Level(3, 1, 0, 1)]
        self.reduction = 1

    def bottom_up(self, hr: Tensor, lr: Tensor | None = None) -> Activations:
        return Activations(Start(hr, hr), {0: hr})

    def top_down(
        self, lr: Tensor | None, activations: Activations | None, source: LatentSource
    ) -> tuple[Features, list[LatentSample]]:
        assert lr is not None
        n, _, height, width = source.repeat(lr).shape
        shape = (n, 3, height * self.scale, width * self.scale)
        prior = DiagonalGaussian.standard(torch.zeros(shape))
        posterior = None
        if activations is not None:
            gain = SPREAD / (SPREAD**2 + SIGMA**2)
            mean = gain * (activations.levels[0] - 0.5)
            posterior = DiagonalGaussian(mean, torch.full_like(mean, SIGMA * gain / SPREAD))
        latent = source.draw(prior, posterior)
        raw = 2 * SPREAD * latent.z / math.exp(self.likelihood.initial_log_scale)
        return Features(raw, raw, torch.zeros_like(raw)), [latent]


@pytest.fixture
def references() -> References:
    """Images that are draws of that p(x | y)."""
    noise = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    return References([quantise(0.5 + math.hypot(SPREAD, SIGMA) * noise)], "noise")


def test_a_true_model_is_calibrated(references):
    """Latents alone, decoded to their expected image, would give 0.08 / 0.1 of the deviation."""
    results = report.evaluate(KnownNoise().eval(), references, seed=1)
    figures = results["calibration"]
    assert figures["samples"] == 100
    assert figures["std_over_rmse"] == pytest.approx(1, abs=0.01)
    assert figures["deviation"] == pytest.approx(25.5, rel=0.01)
    assert figures["coverage"] == pytest.approx(figures["ideal_coverage"], abs=0.005)
    rms = {name: texture["rms"] for name, texture in results["texture"].items()}
    assert rms[report.SAMPLE] == pytest.approx(rms["original"], rel=0.02)
    assert rms["T = 1"] == pytest.approx(255 * SPREAD, rel=0.02)
    assert "| 100 samples of x given y per image | 25." in tables.markdown(results)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_model_of_another_noise_is_not(factor, references, monkeypatch):
    model = KnownNoise().eval()
    model.likelihood.sigma *= factor
    figures = report.evaluate(model, references, seed=1)["calibration"]
    spread = math.hypot(SPREAD, SIGMA * factor) / math.hypot(SPREAD, SIGMA)
    # the mean of 100 samples errs by a hundredth of their variance beside the originals'
    expected = spread * math.sqrt(1.01 / (1 + 0.01 * spread**2))
    assert figures["std_over_rmse"] == pytest.approx(expected, abs=0.01)
    assert (figures["coverage"] > figures["ideal_coverage"]) == (factor > 1)


def test_photographs_take_fewer_samples_and_say_so(references):
    photographs = References(references.batches, "noise", "y")
    results = report.evaluate(KnownNoise().eval(), photographs)
    assert results["calibration"]["samples"] == 16
    assert "| 16 samples of x given y per image |" in tables.markdown(results)
    assert results["calibration"]["std_over_rmse"] == pytest.approx(1, abs=0.01)
