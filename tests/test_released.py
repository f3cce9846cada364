"""Released weights give the outputs and the bits that they gave when they were measured.

`golden/released.npz` holds, of every bundled model: every fifth pixel of a 16x16 image upscaled
at temperature 0 and at 0.8 with seed 0, of an unconditional sample, and the terms of the bound on
four 32x32 images, with the images themselves.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import hvae_sr
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.noise import Noise

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "released.npz"))
TOLERANCE = 1e-4  # other processors sum in another order; a changed function moves far more


def golden(name: str, part: str) -> Tensor:
    return torch.from_numpy(GOLDEN[f"{name}/{part}"])


def images(key: str) -> Tensor:
    return torch.from_numpy(GOLDEN[key]).float().div(255)


def assert_close(found: Tensor, expected: Tensor, what: str) -> None:
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE), (
        f"{what} is off by {float((found - expected).abs().max())}"
    )


def every_fifth(image: Tensor) -> Tensor:
    return image[0, :, ::5, ::5]


def test_all_bundled_models_are_recorded():
    assert {key.split("/")[0] for key in GOLDEN} - {"hr", "lr"} == set(hvae_sr.bundled())


@pytest.mark.parametrize("name", hvae_sr.bundled())
def test_outputs(name: str):
    model, lr = hvae_sr.load(name), images("lr")
    assert_close(every_fifth(model.upscale(lr)), golden(name, "T0"), f"T0 of {name}")
    if f"{name}/T0.8" in GOLDEN:
        sample = model.upscale(lr, temperature=0.8, seed=0)
        assert_close(every_fifth(sample), golden(name, "T0.8"), f"T0.8 of {name}")
    if f"{name}/sample" in GOLDEN:
        assert isinstance(model, GenerativeModel)
        assert_close(
            every_fifth(model.sample(1, size=(32, 32), seed=0)),
            golden(name, "sample"),
            f"sample of {name}",
        )


@pytest.mark.parametrize("name", [name for name in hvae_sr.bundled() if f"{name}/rates" in GOLDEN])
@torch.inference_mode()
def test_bits(name: str):
    model, hr = hvae_sr.load(name), images("hr")
    assert isinstance(model, GenerativeModel) and model.degradation is not None
    lr = model.degradation(hr)
    bound = model.elbo(hr, lr if model.is_conditional else None, Noise(0))
    distortion, rates = golden(name, "distortion"), golden(name, "rates")
    if model.is_joint:
        # recorded in two parts, of the same u
        distortion = distortion + golden(name, "y-distortion")
        rates = torch.cat([golden(name, "y-rates"), rates])
    assert_close(bound.distortion, distortion, f"distortion of {name}")
    assert_close(torch.stack(bound.rates), rates, f"rates of {name}")
    if f"{name}/y-rates" in GOLDEN:
        assert model.lr_prior is not None
        bound = model.lr_prior.elbo(lr, noise=Noise(0))
        assert_close(bound.distortion, golden(name, "y-distortion"), f"distortion of y, {name}")
        assert_close(torch.stack(bound.rates), golden(name, "y-rates"), f"rates of y, {name}")
