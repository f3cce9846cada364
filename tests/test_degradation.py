"""Degradations against independent implementations, their adjoints, and the projection."""

import itertools
import math

import numpy as np
import pytest
import torch
from conftest import psnr, random_pictures, smooth_pictures
from PIL import Image
from scipy import ndimage
from torch import Tensor

from hvae_sr.degradation import SCALES, Degradation, enlarge, quantise

NAMES = ("gaussian", "gaussian_corner", "bicubic", "area")
ALL = list(itertools.product(NAMES, SCALES))
every = pytest.mark.parametrize(("name", "scale"), ALL)


def reference(name: str, plane: np.ndarray, scale: int) -> np.ndarray:
    """One channel, float64, by SciPy, Pillow and NumPy."""
    height, width = plane.shape
    if name == "area":
        cells = plane.reshape(height // scale, scale, width // scale, scale)
        return cells.mean(axis=(1, 3))
    if name == "bicubic":
        image = Image.fromarray(plane.astype(np.float32))
        size = (width // scale, height // scale)
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
    if name == "gaussian_corner":
        blurred = ndimage.gaussian_filter(plane, 0.25 * scale, mode="mirror", truncate=4)
        return blurred[::scale, ::scale]
    # An even kernel over three cells: place each tap by hand, reflecting about the edge pixels.
    taps = [
        math.exp(-0.5 * ((k - (3 * scale - 1) / 2) / (0.4 * scale)) ** 2) for k in range(3 * scale)
    ]
    matrices = []
    for size in (height, width):
        matrix = np.zeros((size // scale, size))
        for row, (tap, weight) in itertools.product(range(size // scale), enumerate(taps)):
            matrix[row, mirrored(row * scale - scale + tap, size)] += weight / sum(taps)
        matrices.append(matrix)
    return matrices[0] @ plane @ matrices[1].T


def mirrored(index: int, size: int) -> int:
    """Reflection without repeating the edge, as often as it takes."""
    if size == 1:
        return 0
    index %= 2 * (size - 1)
    return min(index, 2 * (size - 1) - index)


@every
@pytest.mark.parametrize("cells", [(6, 5), (1, 1), (1, 3)])
def test_agrees_with_an_independent_implementation(name: str, scale: int, cells: tuple[int, int]):
    hr = random_pictures(1, 3, cells[0] * scale, cells[1] * scale)
    lr = Degradation(name, scale).linear(hr)
    expected = [reference(name, plane.double().numpy(), scale) for plane in hr[0]]
    assert np.abs(lr[0].numpy() - np.stack(expected)).max() < 2e-6


@pytest.mark.parametrize("scale", SCALES)
def test_the_gaussian_is_also_what_scipy_correlates(scale: int):
    plane = random_pictures(1, 1, 6 * scale, 6 * scale)[0, 0].double().numpy()
    offsets = np.arange(3 * scale) - (3 * scale - 1) / 2
    taps = np.exp(-0.5 * (offsets / (0.4 * scale)) ** 2)
    taps /= taps.sum()
    # SciPy puts tap k of an even kernel at offset k - size // 2 from the output pixel.
    first = 3 * scale // 2 - scale
    for axis in (0, 1):
        plane = ndimage.correlate1d(plane, taps, axis=axis, mode="mirror")
    lr = Degradation("gaussian", scale).linear(random_pictures(1, 1, 6 * scale, 6 * scale))
    assert np.abs(plane[first::scale, first::scale] - lr[0, 0].numpy()).max() < 2e-6


@every
def test_output_is_in_eight_bits(name: str, scale: int):
    hr = (random_pictures(2, 3, 4 * scale, 4 * scale) > 0.5).float()  # bicubic overshoots here
    lr = Degradation(name, scale)(hr)
    assert lr.shape == (2, 3, 4, 4)
    assert lr.min() >= 0 and lr.max() <= 1
    assert torch.equal(lr, (lr * 255).round() / 255)


@every
def test_adjoint_identity(name: str, scale: int):
    degradation = Degradation(name, scale)
    x = torch.randn(2, 3, 5 * scale, 4 * scale, dtype=torch.float64)
    y = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    left = (degradation.linear(x) * y).sum()
    right = (x * degradation.adjoint(y)).sum()
    assert left == pytest.approx(float(right), rel=1e-6, abs=1e-6)


def centroid(lr: Tensor) -> float:
    """Horizontal centre of mass, in LR pixels."""
    columns = lr.sum(dim=(0, 1, 2))
    return float((columns * torch.arange(len(columns))).sum() / columns.sum())


@every
def test_where_the_centre_of_a_blob_goes(name: str, scale: int):
    width = 16 * scale
    centre = (width - 1) / 2 + 0.3 * scale
    blob = torch.exp(-0.5 * ((torch.arange(width) - centre) / (1.5 * scale)) ** 2)
    lr = Degradation(name, scale).linear(blob.expand(1, 1, width, width))
    aligned = (centre + 0.5) / scale - 0.5  # cell centres on cell centres
    shift = (scale - 1) / (2 * scale) if name == "gaussian_corner" else 0.0
    assert centroid(lr) - aligned == pytest.approx(shift, abs=2e-3)


@every
def test_a_ramp_stays_a_ramp_inside(name: str, scale: int):
    width = 12 * scale
    ramp = torch.arange(width).float().expand(1, 1, scale, width) / width
    lr = Degradation(name, scale).linear(ramp)[0, 0, 0, 3:-3]
    corner = torch.arange(3, 9) * scale
    centre = corner if name == "gaussian_corner" else corner + (scale - 1) / 2
    assert torch.allclose(lr, centre / width, atol=1e-6)


@every
def test_constants_and_the_projection_of_a_single_pixel(name: str, scale: int):
    lr = torch.full((1, 3, 1, 1), 102 / 255)
    hr = Degradation(name, scale).project(torch.rand(1, 3, scale, scale), lr)
    assert torch.equal(Degradation(name, scale)(torch.full_like(hr, 102 / 255)), lr)
    assert psnr(Degradation(name, scale).linear(hr), lr) >= 45


@every
def test_projection_is_consistent_and_in_range(name: str, scale: int):
    degradation = Degradation(name, scale)
    truth = smooth_pictures(2, 3, 8 * scale, 8 * scale)
    lr = degradation(truth)
    start = (truth + 0.1 * torch.randn_like(truth)).clamp(0, 1)
    hr = degradation.project(start, lr)
    assert hr.min() >= 0 and hr.max() <= 1
    assert psnr(degradation(hr), lr) >= 45
    assert psnr(hr, start) > psnr(truth, start), "there was a consistent picture nearer than this"


@every
def test_projection_of_a_picture_that_nothing_clips_is_the_nearest_of_all(name: str, scale: int):
    """Against least squares with the dense matrix of A, in float64."""
    degradation = Degradation(name, scale)
    start = 0.3 + 0.4 * torch.rand(1, 1, 3 * scale, 4 * scale)
    lr = degradation.linear(start + 0.02 * torch.randn_like(start))
    pixels = 12 * scale**2
    basis = torch.eye(pixels, dtype=torch.float64).view(pixels, 1, *start.shape[-2:])
    dense = degradation.linear(basis).flatten(1).T
    missing = (lr.double().flatten() - dense @ start.double().flatten()).unsqueeze(1)
    change = torch.linalg.lstsq(dense, missing, driver="gelsd").solution
    found = degradation.project(start, lr, rounds=1)
    assert torch.allclose(found.flatten(), start.flatten() + change.flatten().float(), atol=1e-5)
    assert psnr(degradation.linear(found), lr) >= 60
    assert torch.allclose(degradation.project(found, lr), found, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_windows_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch):
    scale, hr = 2, random_pictures(1, 3, 2 * 140, 2 * 101)
    degradation = Degradation(name, scale)
    lr = degradation(hr.flip(-1))
    windowed = [degradation.residual(hr, lr), degradation.project(hr, lr, rounds=1)]
    windowed.append(degradation.adjoint(lr))
    monkeypatch.setattr("hvae_sr.degradation.WINDOW", 1000)
    whole = [degradation.residual(hr, lr), degradation.project(hr, lr, rounds=1)]
    whole.append(degradation.adjoint(lr))
    for one, other in zip(windowed, whole, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert torch.allclose(whole[0], lr - degradation.linear(hr), atol=2e-6)


@every
def test_projection_of_unrelated_noise_only_takes_more_rounds(name: str, scale: int):
    degradation = Degradation(name, scale)
    lr = degradation(smooth_pictures(1, 3, 8 * scale, 8 * scale))
    noise = random_pictures(1, 3, 8 * scale, 8 * scale, seed=1)
    scores = [
        psnr(degradation.linear(degradation.project(noise, lr, rounds=n)), lr) for n in (1, 4, 40)
    ]
    assert scores == sorted(scores)
    assert scores[-1] >= 45


@every
def test_projection_leaves_a_consistent_picture_alone(name: str, scale: int):
    degradation = Degradation(name, scale)
    hr = smooth_pictures(1, 3, 6 * scale, 6 * scale)
    assert torch.allclose(degradation.project(hr, degradation.linear(hr)), hr, atol=1e-4)
    assert psnr(degradation.project(hr, degradation(hr)), hr) > 45


@every
def test_pictures_of_a_batch_are_projected_on_their_own(name: str, scale: int):
    degradation = Degradation(name, scale)
    hr, lr = random_pictures(2, 3, 4 * scale, 4 * scale), random_pictures(2, 3, 4, 4, seed=1)
    together = degradation.project(hr, lr)
    alone = torch.cat([degradation.project(hr[i : i + 1], lr[i : i + 1]) for i in (0, 1)])
    assert torch.allclose(together, alone, atol=1e-3)


def test_projection_works_in_inference_mode():
    with torch.inference_mode():
        degradation, hr = Degradation("gaussian", 2), random_pictures(1, 3, 8, 8)
        lr = degradation(hr)
        assert psnr(degradation.linear(degradation.project(torch.zeros_like(hr), lr)), lr) >= 45


@pytest.mark.parametrize(("name", "scale"), [("blur", 4), ("", 2), ("area", 1), ("area", 5)])
def test_unknown_names_and_scales_are_refused(name: str, scale: int):
    with pytest.raises(ValueError, match=r"degradation|scale"):
        Degradation(name, scale)


@every
def test_sizes_that_do_not_divide_are_refused(name: str, scale: int):
    for height, width in [(scale, scale + 1), (2 * scale - 1, scale)]:
        with pytest.raises(ValueError, match="crop"):
            Degradation(name, scale)(torch.zeros(1, 3, height, width))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("scale", SCALES)
class TestEnlarge:
    def test_a_constant_stays(self, mode: str, scale: int):
        larger = enlarge(torch.full((1, 3, 3, 2), 0.3), scale, mode)
        assert larger.shape == (1, 3, 3 * scale, 2 * scale)
        assert torch.allclose(larger, torch.full_like(larger, 0.3))

    def test_cell_centres_stay(self, mode: str, scale: int):
        ramp = torch.arange(10.0).expand(1, 1, 4, 10)
        means = Degradation("area", scale).linear(enlarge(ramp, scale, mode))
        assert torch.allclose(means[..., 2:-2], ramp[..., 2:-2], atol=1e-5)

    def test_mirror_images_are_treated_alike(self, mode: str, scale: int):
        lr = random_pictures(1, 3, 5, 4)
        mirrored = enlarge(lr.flip(-1), scale, mode)
        assert torch.allclose(mirrored, enlarge(lr, scale, mode).flip(-1), atol=1e-6)


def test_bilinear_ramp_has_known_values():
    larger = enlarge(torch.arange(8.0).expand(1, 1, 1, 8), 4, "bilinear")[0, 0, 0, 4:-4]
    assert torch.allclose(larger, (torch.arange(4, 28) + 0.5) / 4 - 0.5)


def test_quantise_clips_and_rounds_to_the_nearest():
    values = torch.tensor([-0.2, 0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.0, 3.0])
    assert (quantise(values) * 255).round().tolist() == [0, 0, 0, 1, 254, 255, 255]
