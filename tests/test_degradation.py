"""Degradations against independent implementations, their adjoints, and the projection."""

import itertools
import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conftest import psnr, random_images, smooth_images
from PIL import Image
from scipy import ndimage
from torch import Tensor

from hvae_sr.degradations import SCALES, Degradation, get_degradation, register_degradation
from hvae_sr.degradations.linear import LinearDegradation
from hvae_sr.nn.resize import enlarge, quantise

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
    hr = random_images(1, 3, cells[0] * scale, cells[1] * scale)
    lr = get_degradation(name, scale).linear(hr)
    expected = [reference(name, plane.double().numpy(), scale) for plane in hr[0]]
    assert np.abs(lr[0].numpy() - np.stack(expected)).max() < 2e-6


@pytest.mark.parametrize("scale", SCALES)
def test_the_gaussian_is_also_what_scipy_correlates(scale: int):
    plane = random_images(1, 1, 6 * scale, 6 * scale)[0, 0].double().numpy()
    offsets = np.arange(3 * scale) - (3 * scale - 1) / 2
    taps = np.exp(-0.5 * (offsets / (0.4 * scale)) ** 2)
    taps /= taps.sum()
    # SciPy puts tap k of an even kernel at offset k - size // 2 from the output pixel.
    first = 3 * scale // 2 - scale
    for axis in (0, 1):
        plane = ndimage.correlate1d(plane, taps, axis=axis, mode="mirror")
    lr = get_degradation("gaussian", scale).linear(random_images(1, 1, 6 * scale, 6 * scale))
    assert np.abs(plane[first::scale, first::scale] - lr[0, 0].numpy()).max() < 2e-6


@every
def test_output_is_in_eight_bits(name: str, scale: int):
    hr = (random_images(2, 3, 4 * scale, 4 * scale) > 0.5).float()  # bicubic overshoots here
    lr = get_degradation(name, scale)(hr)
    assert lr.shape == (2, 3, 4, 4)
    assert lr.min() >= 0 and lr.max() <= 1
    assert torch.equal(lr, (lr * 255).round() / 255)


@every
def test_adjoint_identity(name: str, scale: int):
    degradation = get_degradation(name, scale)
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
    lr = get_degradation(name, scale).linear(blob.expand(1, 1, width, width))
    aligned = (centre + 0.5) / scale - 0.5  # cell centres on cell centres
    shift = (scale - 1) / (2 * scale) if name == "gaussian_corner" else 0.0
    assert centroid(lr) - aligned == pytest.approx(shift, abs=2e-3)


@every
def test_a_ramp_stays_a_ramp_inside(name: str, scale: int):
    width = 12 * scale
    ramp = torch.arange(width).float().expand(1, 1, scale, width) / width
    lr = get_degradation(name, scale).linear(ramp)[0, 0, 0, 3:-3]
    corner = torch.arange(3, 9) * scale
    centre = corner if name == "gaussian_corner" else corner + (scale - 1) / 2
    assert torch.allclose(lr, centre / width, atol=1e-6)


@every
def test_constants_and_the_projection_of_a_single_pixel(name: str, scale: int):
    lr = torch.full((1, 3, 1, 1), 102 / 255)
    hr = get_degradation(name, scale).project(torch.rand(1, 3, scale, scale), lr)
    assert torch.equal(get_degradation(name, scale)(torch.full_like(hr, 102 / 255)), lr)
    assert psnr(get_degradation(name, scale).linear(hr), lr) >= 45


@every
def test_projection_is_consistent_and_in_range(name: str, scale: int):
    degradation = get_degradation(name, scale)
    truth = smooth_images(2, 3, 8 * scale, 8 * scale)
    lr = degradation(truth)
    start = (truth + 0.1 * torch.randn_like(truth)).clamp(0, 1)
    hr = degradation.project(start, lr)
    assert hr.min() >= 0 and hr.max() <= 1
    assert psnr(degradation(hr), lr) >= 45
    assert psnr(hr, start) > psnr(truth, start), "there was a consistent image nearer than this"


@every
def test_projection_of_a_picture_that_nothing_clips_is_the_nearest_of_all(name: str, scale: int):
    """Against least squares with the dense matrix of A, in float64."""
    degradation = get_degradation(name, scale)
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
    scale, hr = 2, random_images(1, 3, 2 * 140, 2 * 101)
    degradation = get_degradation(name, scale)
    lr = degradation(hr.flip(-1))
    windowed = [degradation.residual(hr, lr), degradation.project(hr, lr, rounds=1)]
    windowed.append(degradation.adjoint(lr))
    monkeypatch.setattr("hvae_sr.degradations.linear.WINDOW", 1000)
    whole = [degradation.residual(hr, lr), degradation.project(hr, lr, rounds=1)]
    whole.append(degradation.adjoint(lr))
    for one, other in zip(windowed, whole, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert torch.allclose(whole[0], lr - degradation.linear(hr), atol=2e-6)


@every
def test_projection_of_unrelated_noise_only_takes_more_rounds(name: str, scale: int):
    degradation = get_degradation(name, scale)
    lr = degradation(smooth_images(1, 3, 8 * scale, 8 * scale))
    noise = random_images(1, 3, 8 * scale, 8 * scale, seed=1)
    scores = [
        psnr(degradation.linear(degradation.project(noise, lr, rounds=n)), lr) for n in (1, 4, 40)
    ]
    assert scores == sorted(scores)
    assert scores[-1] >= 45


@every
def test_projection_leaves_a_consistent_picture_alone(name: str, scale: int):
    degradation = get_degradation(name, scale)
    hr = smooth_images(1, 3, 6 * scale, 6 * scale)
    assert torch.allclose(degradation.project(hr, degradation.linear(hr)), hr, atol=1e-4)
    assert psnr(degradation.project(hr, degradation(hr)), hr) > 45


@every
def test_images_of_a_batch_are_projected_on_their_own(name: str, scale: int):
    degradation = get_degradation(name, scale)
    hr, lr = random_images(2, 3, 4 * scale, 4 * scale), random_images(2, 3, 4, 4, seed=1)
    together = degradation.project(hr, lr)
    alone = torch.cat([degradation.project(hr[i : i + 1], lr[i : i + 1]) for i in (0, 1)])
    assert torch.allclose(together, alone, atol=1e-3)


def test_projection_works_in_inference_mode():
    with torch.inference_mode():
        degradation, hr = get_degradation("gaussian", 2), random_images(1, 3, 8, 8)
        lr = degradation(hr)
        assert psnr(degradation.linear(degradation.project(torch.zeros_like(hr), lr)), lr) >= 45


@pytest.mark.parametrize(("name", "scale"), [("blur", 4), ("", 2), ("area", 1), ("area", 5)])
def test_unknown_names_and_scales_are_refused(name: str, scale: int):
    with pytest.raises(ValueError, match=r"degradation|scale"):
        get_degradation(name, scale)


@every
def test_sizes_that_do_not_divide_are_refused(name: str, scale: int):
    for height, width in [(scale, scale + 1), (2 * scale - 1, scale)]:
        with pytest.raises(ValueError, match="crop"):
            get_degradation(name, scale)(torch.zeros(1, 3, height, width))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("scale", SCALES)
class TestEnlarge:
    def test_a_constant_stays(self, mode: str, scale: int):
        larger = enlarge(torch.full((1, 3, 3, 2), 0.3), scale, mode)
        assert larger.shape == (1, 3, 3 * scale, 2 * scale)
        assert torch.allclose(larger, torch.full_like(larger, 0.3))

    def test_cell_centres_stay(self, mode: str, scale: int):
        ramp = torch.arange(10.0).expand(1, 1, 4, 10)
        means = get_degradation("area", scale).linear(enlarge(ramp, scale, mode))
        assert torch.allclose(means[..., 2:-2], ramp[..., 2:-2], atol=1e-5)

    def test_mirror_images_are_treated_alike(self, mode: str, scale: int):
        lr = random_images(1, 3, 5, 4)
        mirrored = enlarge(lr.flip(-1), scale, mode)
        assert torch.allclose(mirrored, enlarge(lr, scale, mode).flip(-1), atol=1e-6)


def test_bilinear_ramp_has_known_values():
    larger = enlarge(torch.arange(8.0).expand(1, 1, 1, 8), 4, "bilinear")[0, 0, 0, 4:-4]
    assert torch.allclose(larger, (torch.arange(4, 28) + 0.5) / 4 - 0.5)


def test_quantise_clips_and_rounds_to_the_nearest():
    values = torch.tensor([-0.2, 0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.0, 3.0])
    assert (quantise(values) * 255).round().tolist() == [0, 0, 0, 1, 254, 255, 255]


class TestEnlargementKernels:
    """`bicubic` is Pillow's and MATLAB's kernel; the sharper one has a name of its own."""

    @pytest.mark.parametrize("scale", SCALES)
    def test_bicubic_is_what_pillow_does(self, scale: int):
        plane = random_images(1, 1, 6, 5)
        image = Image.fromarray(plane[0, 0].numpy())
        size = (5 * scale, 6 * scale)
        expected = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
        assert np.abs(enlarge(plane, scale)[0, 0].numpy() - expected).max() < 1e-5

    @pytest.mark.parametrize(("mode", "a"), [("bicubic", -0.5), ("bicubic_075", -0.75)])
    def test_kernels_have_the_a_of_keys(self, mode: str, a: float):
        """One pixel of 1 becomes the kernel itself."""
        impulse = torch.zeros(1, 1, 9, 9)
        impulse[..., 4, 4] = 1
        row = enlarge(impulse, 4, mode)[0, 0, :, 4 * 4 + 1]
        found = row / row.max()

        def keys(x: float) -> float:
            x = abs(x)
            if x <= 1:
                return (a + 2) * x**3 - (a + 3) * x**2 + 1
            return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

        kernel = torch.tensor([keys((i + 0.5) / 4 - 0.5 - 4) for i in range(36)])
        assert torch.allclose(found, kernel / kernel.max(), atol=1e-5)

    def test_unknown_modes_are_refused(self):
        with pytest.raises(ValueError, match="enlargement must be one of"):
            enlarge(torch.zeros(1, 3, 2, 2), 2, "lanczos")


class TestRegistry:
    def test_a_name_in_a_config_gives_the_degradation_back(self):
        for scale in SCALES:
            for name in (*NAMES, "blind"):
                made = get_degradation(name, scale)
                assert isinstance(made, Degradation) and made.name == name
                assert get_degradation(made.config, scale) == made
        assert get_degradation("gaussian", 4).config == "gaussian"

    def test_arguments_travel_through_json(self):
        made = get_degradation({"name": "blind", "clean": 0.5, "cutoff": [2, 3]}, 4)
        again = get_degradation(json.loads(json.dumps(made.config)), 4)
        assert made == again != get_degradation("blind", 4)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": "blind", "sharpness": 3},
            {"name": "blind", "cutoff": [3, 2]},
            {"name": "blind", "cutoff": 3},
            {"name": "blind", "first": {"blur": 1}},
            {"clean": 0.5},
            {"name": ["blind"]},
        ],
    )
    def test_arguments_that_are_wrong_are_refused(self, wrong: dict[str, Any]):
        with pytest.raises(ValueError, match=r"degradation|range|pair"):
            get_degradation(wrong, 4)

    def test_ones_own_is_found_by_name_and_may_be_defined_again(self):
        for value in (0.25, 0.5):

            @register_degradation
            @dataclass(frozen=True)
            class Grey(LinearDegradation):
                name: ClassVar[str] = "tests_grey"

                def shrink(self, hr: Tensor, value: float = value) -> Tensor:
                    return torch.full_like(get_degradation("area", self.scale).linear(hr), value)

            lr = get_degradation("tests_grey", 2)(torch.rand(1, 3, 4, 4))
            assert torch.allclose(lr, torch.full_like(lr, value), atol=1 / 255)

    @pytest.mark.parametrize("name", ["gaussian", "blind"])
    def test_a_name_that_is_taken_is_refused_naming_both(self, name: str):
        other = type("Other", (LinearDegradation,), {"name": name, "__module__": "mine"})
        with pytest.raises(ValueError) as caught:
            register_degradation(other)
        assert "hvae_sr.degradations." in str(caught.value) and "mine.Other" in str(caught.value)
        assert get_degradation(name, 2) != other


def test_what_is_not_linear_cannot_be_projected_onto():
    blind, hr = get_degradation("blind", 2), torch.rand(1, 3, 4, 4)
    lr = blind(hr, torch.Generator().manual_seed(0))
    assert not blind.can_project
    for refused in (
        lambda: blind.project(hr, lr),
        lambda: blind.residual(hr, lr),
        lambda: blind.linear(hr),
        lambda: blind.adjoint(lr),
    ):
        with pytest.raises(ValueError, match="'blind' is not linear"):
            refused()
