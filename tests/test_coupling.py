"""The RealNVP flow: a bijection whose density is exact."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from hvae_sr.nn.coupling import Coupling, RealNVP, checkerboard
from hvae_sr.nn.latents import DiagonalGaussian
from hvae_sr.nn.layers import CellKind
from hvae_sr.nn.noise import Noise

KIND = CellKind("plain")
CPU = torch.device("cpu")


def flow(channels: int = 3, couplings: int = 6, amount: float = 0.1) -> RealNVP:
    found = RealNVP(channels, couplings, 4, 1, KIND)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(amount * torch.randn(parameter.shape, generator=random))
    return found


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (3, 4), (5, 2)])
@torch.no_grad()
def test_it_is_a_bijection_at_any_size(channels: int, size: tuple[int, int]):
    found, v = flow(channels), normal(2, channels, *size)
    u, log_scale = found(v)
    back, same = found.inverse(u)
    assert not torch.allclose(u, v, atol=0.01)
    assert torch.allclose(back, v, atol=1e-4)
    assert torch.allclose(log_scale.sum(dim=(1, 2, 3)), same.sum(dim=(1, 2, 3)), atol=1e-4)


def test_log_scales_add_up_to_the_determinant():
    found, v = flow(), normal(1, 3, 2, 3)
    jacobian = torch.autograd.functional.jacobian(lambda x: found(x)[0], v).view(18, 18)
    with torch.no_grad():
        total = float(found(v)[1].sum())
    assert total == pytest.approx(float(torch.linalg.slogdet(jacobian).logabsdet), abs=1e-4)
    assert abs(total) > 0.1


@torch.no_grad()
def test_the_density_integrates_to_one():
    """Two numbers: the only pixel of two channels."""
    found = flow(channels=2, couplings=4, amount=0.2)
    axis = torch.linspace(-14, 14, 561)
    points = torch.cartesian_prod(axis, axis).view(-1, 2, 1, 1)
    prior = found.of((len(points), 1, 1), CPU)
    log_mass = prior.log_prob(points).sum(dim=(1, 2, 3)).logsumexp(dim=0)
    assert float(log_mass) + 2 * math.log(28 / 560) == pytest.approx(0, abs=1e-3)


@torch.no_grad()
def test_samples_have_its_density():
    found = flow(channels=1, couplings=2, amount=0.5)
    prior = found.of((50_000, 1, 1), CPU)
    u = prior.sample(Noise(0))
    edges = torch.linspace(-1, 1, 5) * float(u.std()) + float(u.mean())
    for low, high in pairwise(edges.tolist()):
        axis = torch.linspace(low, high, 101).view(-1, 1, 1, 1)
        density = found.of((101, 1, 1), CPU).log_prob(axis).exp().flatten()
        expected = float(torch.trapezoid(density, axis.flatten()))
        share = float(((u >= low) & (u < high)).float().mean())
        assert share == pytest.approx(expected, abs=0.01)


@torch.no_grad()
def test_it_starts_as_the_standard_normal():
    found, u = RealNVP(2, 4, 4, 1, KIND), normal(2, 2, 3, 3)
    prior = found.of((2, 3, 3), CPU)
    assert torch.equal(prior.log_prob(u), DiagonalGaussian.standard(u).log_prob(u))
    assert torch.equal(prior.mean, torch.zeros_like(u))
    assert torch.equal(prior.std, torch.ones_like(u))


@torch.no_grad()
def test_temperature_zero_is_its_mean():
    prior = flow().of((2, 3, 4), CPU)
    assert torch.equal(prior.sample(Noise(0), 0.0), prior.mean)


@torch.no_grad()
def test_the_rate_of_a_draw_is_on_average_the_divergence():
    """Of a flow that is one Gaussian, whose divergence has a closed form."""
    found = flow(channels=1, couplings=1, amount=0.5)
    prior = found.of((1, 1, 1), CPU)
    gaussian = DiagonalGaussian(prior.mean, prior.std)  # nothing is kept: one scale, one shift
    n = 40_000
    posterior = DiagonalGaussian(torch.full((n, 1, 1, 1), 0.4), torch.full((n, 1, 1, 1), 0.7))
    z = posterior.sample(Noise(0))
    rates = posterior.rate(found.of((n, 1, 1), CPU), z)
    expected = float(posterior.rate(gaussian, z)[0])
    error = float(rates.std()) / math.sqrt(n)
    assert float(rates.mean()) == pytest.approx(expected, abs=4 * error)
    assert float(rates.std()) > 0


@pytest.mark.parametrize("halves", ["checkerboard", "channels"])
@pytest.mark.parametrize("keeps", [0, 1])
@torch.no_grad()
def test_a_coupling_keeps_one_half_and_reads_it_alone(halves: str, keeps: int):
    coupling, x = Coupling(4, 6, 1, KIND, halves, keeps), normal(1, 4, 4, 5)
    torch.nn.init.normal_(coupling.network[-1].weight)
    if halves == "checkerboard":
        kept = checkerboard(x, keeps).expand_as(x).bool()
    else:
        kept = torch.zeros_like(x, dtype=torch.bool)
        kept[:, 2 * keeps : 2 * keeps + 2] = True
    log_scale, shift = coupling(x)
    assert not log_scale[kept].any() and not shift[kept].any()
    assert log_scale[~kept].all() and shift[~kept].all()
    for term, changed in zip((log_scale, shift), coupling(x + 3 * ~kept), strict=True):
        assert torch.equal(term, changed)
    assert not torch.equal(shift, coupling(x + 3 * kept)[1])
