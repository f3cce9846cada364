"""What each paper of the family claims, in miniature."""

import math

import torch
from conftest import (
    shaken,
    smooth_pictures,
    tiny_hvae,
    tiny_nvae,
)
from torch import Tensor, nn

from hvae_sr.models.latent import GenerativeModel
from hvae_sr.models.nvae import Residual, SpectralNorms, convolutions
from hvae_sr.nn.latents import DiagonalGaussian
from hvae_sr.nn.layers import REACH, Gate
from hvae_sr.nn.noise import Noise


def pair(n: int = 2, height: int = 3, width: int = 4) -> tuple[Tensor, Tensor]:
    hr = smooth_pictures(n, 3, 4 * height, 4 * width)
    model = tiny_hvae()
    assert model.degradation is not None
    return hr, model.degradation(hr)


def gaussian(seed: int, shape: tuple[int, ...] = (2, 3, 4, 4)) -> DiagonalGaussian:
    random = torch.Generator().manual_seed(seed)
    mean, raw = (torch.randn(shape, generator=random) for _ in range(2))
    return DiagonalGaussian(mean, (0.5 * raw).exp())


def trained(model: GenerativeModel, hr: Tensor, lr: Tensor, steps: int) -> GenerativeModel:
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        loss = model.loss(hr, lr, beta=0.01 + 0.99 * min(1.0, 2 * step / steps))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


class TestNVAE:
    def test_at_zero_offset_the_posterior_is_the_prior(self):
        prior = gaussian(3)
        posterior = Residual().posterior(torch.zeros(2, 6, 4, 4), prior)
        assert torch.equal(posterior.mean, prior.mean)
        assert torch.equal(posterior.std, prior.std)
        assert torch.equal(posterior.kl(prior), torch.zeros_like(prior.mean))

    def test_the_offsets_of_a_direct_posterior_give_it_back(self):
        prior, direct = gaussian(4), gaussian(5)
        ratio = direct.std / prior.std * 1.001 - 0.001
        raw = torch.cat([direct.mean - prior.mean, torch.log2(2**ratio - 1)], dim=1)
        posterior = Residual().posterior(raw, prior)
        assert torch.allclose(posterior.mean, direct.mean, atol=1e-5)
        assert torch.allclose(posterior.std, direct.std, rtol=1e-4)

    def test_the_rate_is_the_papers_closed_form(self):
        prior, raw = gaussian(6), torch.randn(2, 6, 4, 4)
        posterior = Residual().posterior(raw, prior)
        delta_mean, delta_std = posterior.mean - prior.mean, posterior.std / prior.std
        paper = 0.5 * ((delta_mean / prior.std) ** 2 + delta_std**2 - (delta_std**2).log() - 1)
        assert torch.allclose(posterior.kl(prior), paper, atol=1e-4)

    def test_when_the_prior_moves_the_posterior_follows(self):
        prior, raw = gaussian(7), torch.randn(2, 6, 4, 4)
        moved = DiagonalGaussian(prior.mean + 2, prior.std)
        one, other = (Residual().posterior(raw, p) for p in (prior, moved))
        assert torch.allclose(other.mean - one.mean, torch.full_like(one.mean, 2.0), atol=1e-5)

    def test_spectral_norms_are_the_largest_singular_values(self):
        network = tiny_nvae().decoder
        found = SpectralNorms(network)(network, iterations=300)
        exact = [torch.linalg.matrix_norm(w.flatten(1), ord=2) for w in convolutions(network)]
        mask = torch.stack(exact) > 1e-3  # the prior's last convolutions start at zero
        assert torch.allclose(found[mask], torch.stack(exact)[mask], rtol=5e-3)
        assert (found[~mask].abs() < 1e-3).all()

    def test_one_iteration_a_step_is_enough_while_weights_stand_still(self):
        network = tiny_nvae().decoder
        norms = SpectralNorms(network)
        for _ in range(100):
            values = norms(network)
        assert torch.allclose(values, norms(network, iterations=300), rtol=2e-2, atol=1e-4)

    def test_regularisation_keeps_them_small(self):
        hr, lr = pair()
        norms = []
        for weight in (0.0, 0.05):
            torch.manual_seed(0)
            model = trained(tiny_nvae(spectral_weight=weight), hr, lr, 30)
            values = SpectralNorms(model.decoder)(model.decoder, iterations=50)
            norms.append(float(values.detach().sum()))
        assert norms[1] < 0.9 * norms[0]

    def test_its_vectors_are_saved_so_that_resuming_is_exact(self):
        model, (hr, lr) = tiny_nvae(spectral_weight=0.1), pair()
        before = {k: v.clone() for k, v in model.state_dict().items() if "vectors" in k}
        terms = model.loss(hr, lr)
        assert terms["spectral"] > 0
        after = model.state_dict()
        assert before and not any(torch.equal(after[k], v) for k, v in before.items())
        assert "spectral" not in tiny_nvae().loss(hr, lr)

    def test_nothing_is_estimated_again_before_sampling(self):
        """No batch statistics: training and evaluation mode are the same function."""
        model, (_, lr) = shaken(tiny_nvae()), pair()
        assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
        assert torch.equal(model.train().upscale(lr), model.eval().upscale(lr))

    def test_gates_look_no_further_than_their_reach(self):
        gate, x = Gate(8), torch.randn(1, 8, 12, 12)
        changed = x.clone()
        changed[..., 0] += 5
        moved = (gate(x) - gate(changed)).abs().amax(dim=(0, 1, 2))
        assert (moved[: REACH + 1] > 0).all() and torch.equal(
            moved[REACH + 1 :], torch.zeros(11 - REACH)
        )


def test_draws_of_one_picture_share_its_encoders():
    model, (hr, lr) = shaken(tiny_hvae()), pair()
    calls: list[int] = []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        bounds = list(model.elbos(hr, lr, Noise(0), draws=4))
        noise = Noise(0)
        singly = [model.elbo(hr, lr, noise) for _ in range(4)]
    assert len(calls) == 1 + 4
    for shared, alone in zip(bounds, singly, strict=True):
        assert torch.allclose(shared.value, alone.value)
    assert math.isfinite(float(bounds[0].log_importance_weight.sum()))
