"""Texture of residuals and calibration of samples, against closed forms."""

import json
import math

import pytest
import torch
from conftest import shaken, tiny_cnn, tiny_hvae
from torch import Tensor

from hvae_sr.evaluation import report, tables, texture
from hvae_sr.evaluation.references import References
from hvae_sr.evaluation.texture import LAGS, Calibration, Texture
from hvae_sr.training.data import DeadLeaves


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def measured(*residuals: Tensor) -> tuple[float, list[float]]:
    sums = Texture()
    for residual in residuals:
        sums.add(residual)
    result = sums.result()
    return result["rms"], [result["autocorrelation"][str(lag)] for lag in LAGS]


def test_white_noise_has_no_autocorrelation():
    rms, lags = measured(0.1 * noise(8, 3, 96, 96))
    assert rms == pytest.approx(25.5, rel=0.01)
    assert lags == pytest.approx([0] * 5, abs=0.01)


def test_noise_smoothed_by_a_box_has_a_triangle():
    """A box of 8 pixels along each axis: 1 - lag / 8, and a rms of an eighth."""
    field = torch.nn.functional.avg_pool2d(noise(16, 3, 200, 200), 8, stride=1)
    rms, lags = measured(field)
    assert rms == pytest.approx(255 / 8, rel=0.03)
    assert lags == pytest.approx([max(0, 1 - lag / 8) for lag in LAGS], abs=0.03)


def test_both_axes_count_alike():
    """A wave along one axis and constant along the other: the mean of a cosine and of 1."""
    wave = torch.cos(2 * math.pi * torch.arange(96) / 12)
    for field in (wave.expand(1, 3, 96, 96), wave[:, None].expand(1, 3, 96, 96)):
        _, lags = measured(field)
        expected = [(1 + math.cos(2 * math.pi * lag / 12)) / 2 for lag in LAGS]
        assert lags == pytest.approx(expected, abs=0.06)


def test_independent_blocks_are_grain():
    """A latent's noise in 2x2 blocks: half of the pairs one pixel apart share a block."""
    field = noise(8, 3, 64, 64).repeat_interleave(2, -1).repeat_interleave(2, -2)
    _, lags = measured(field)
    assert lags == pytest.approx([0.5, 0, 0, 0, 0], abs=0.015)


def test_texture_of_a_data_set_is_a_ratio_of_sums():
    """Batches, image sizes and flat images make no difference to what is one stationary field."""
    field = torch.nn.functional.avg_pool2d(noise(6, 3, 100, 100), 2, stride=1)
    whole = measured(field)
    assert measured(field[:2], field[2:]) == (
        pytest.approx(whole[0]),
        pytest.approx(whole[1]),
    )
    flat = measured(field, torch.zeros(6, 3, 99, 99))
    assert flat[0] == pytest.approx(whole[0] / math.sqrt(2))
    assert flat[1] == pytest.approx(whole[1], abs=0.01)


def test_lags_wider_than_images_and_residuals_of_zero_are_left_out():
    sums = Texture()
    sums.add(noise(2, 3, 4, 5))
    assert list(sums.result()["autocorrelation"]) == ["1", "2", "4"]
    still = Texture()
    still.add(torch.zeros(1, 3, 16, 16))
    assert still.result() == {"rms": 0.0, "autocorrelation": {}}


@pytest.mark.parametrize("count", [2, 8, 100])
def test_a_perfect_sampler_is_calibrated_at_any_number_of_samples(count):
    calibration = Calibration(count)
    for seed in range(2):
        draws = noise(40, count + 1, 3, 16, 16, seed=seed)
        calibration.add(draws[:, 1:], draws[:, 0])
    figures = calibration.result()
    assert figures["std_over_rmse"] == pytest.approx(1, abs=0.02)
    assert figures["coverage"] == pytest.approx(figures["ideal_coverage"], abs=0.01)
    assert figures["ideal_coverage"] == pytest.approx(0.9 * (count - 1) / (count + 1))


def test_a_sampler_of_half_the_spread_shows_it():
    """Half the deviation: a ratio of 0.5 sqrt(1 + 1/n) / sqrt(1 + 0.25/n), and erf for coverage."""
    calibration = Calibration(400)
    calibration.add(0.5 * noise(10, 400, 3, 12, 12, seed=1), noise(10, 3, 12, 12, seed=2))
    figures = calibration.result()
    assert figures["std_over_rmse"] == pytest.approx(0.5, abs=0.02)
    assert figures["coverage"] == pytest.approx(math.erf(0.5 * 1.6449 / math.sqrt(2)), abs=0.02)
    assert figures["samples"] == 400
    assert figures["deviation"] == pytest.approx(255 * 0.5, abs=2)


def test_the_interval_ends_between_interpolated_sorted_samples():
    """21 samples 0 to 1: 0.05 and 0.95 are the second and the last but one."""
    samples = (torch.arange(21) / 20).view(1, 21, 1).expand(6, 21, 1)
    hr = torch.tensor([0.01, 0.06, 0.5, 0.94, 0.96, 2.0]).view(6, 1)
    assert texture._coverage(samples, hr).flatten().tolist() == pytest.approx([0, 1, 1, 1, 0, 0])
    few = samples[:, ::2]  # 11 samples: half of the outermost gaps
    half = [0.5, 0.5, 1, 0.5, 0.5, 0]
    assert texture._coverage(few, hr).flatten().tolist() == pytest.approx(half)


def test_a_perfect_sampler_of_8_bit_values_covers_no_more_than_one_of_real_numbers():
    """Values of three levels, most of them equal to samples: no credit for being coarse."""
    calibration = Calibration(100)
    draws = noise(20, 101, 3, 16, 16).mul(0.6).round().div(255).add(0.5)
    calibration.add(draws[:, 1:], draws[:, 0] + 1e-6)
    figures = calibration.result()
    assert figures["coverage"] == pytest.approx(figures["ideal_coverage"], abs=0.01)
    assert figures["std_over_rmse"] == pytest.approx(1, abs=0.02)


def test_samples_that_all_equal_the_original():
    calibration = Calibration(3)
    hr = torch.full((1, 3, 4, 4), 0.5)
    calibration.add(hr.unsqueeze(1).expand(1, 3, 3, 4, 4), hr)
    figures = calibration.result()
    assert figures["std_over_rmse"] is None
    assert figures["coverage"] == pytest.approx(0.45) == figures["ideal_coverage"]


def test_reports_of_generative_models_show_texture_and_calibration():
    references = References([DeadLeaves(32).batch(0, 0, 3).hr], "leaves")
    model = shaken(tiny_hvae()).eval()
    results = report.evaluate(model, references, samples=4, calibration_samples=5)
    rows = results["texture"]
    assert list(rows) == ["original", "T = 0.8", "T = 1", report.SAMPLE]
    assert 0 < rows["T = 0.8"]["rms"] < rows["T = 1"]["rms"] < rows[report.SAMPLE]["rms"]
    text = tables.markdown(json.loads(json.dumps(results)))
    assert f"| original | {rows['original']['rms']:.1f} |" in text
    assert "| ideal for 5 |" in text and "| 60.0% |" in text
    assert "| 5 samples of x given y per image |" in text


def test_reports_of_models_of_one_answer_and_older_reports_do_not():
    references = References([DeadLeaves(32).batch(0, 0, 1).hr], "leaves")
    results = report.evaluate(tiny_cnn().eval(), references)
    assert "texture" not in results and "Calibration" not in tables.markdown(results)
    assert texture.markdown({"samples": 8, "sample_deviation": 1.0}) == []
