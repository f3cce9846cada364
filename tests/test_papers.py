"""What each paper of the family claims, in miniature."""

import math

import pytest
import torch
from conftest import (
    random_pictures,
    shaken,
    smooth_pictures,
    tiny_hvae,
    tiny_nvae,
    tiny_srvae,
)
from torch import Tensor, nn

from hvae_sr.errors import ModelError
from hvae_sr.models import SRVAE
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.models.nvae import Residual, SpectralNorms, convolutions
from hvae_sr.nn.distributions import bits_per_dim
from hvae_sr.nn.latents import DiagonalGaussian, LatentSource
from hvae_sr.nn.layers import REACH, Gate
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import quantise


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


class TestSRVAE:
    def test_bits_are_the_sum_of_both_stages(self):
        """log p(y | u) and log p(x | y, z), of the same u, minus the rates of u and of z."""
        model, (hr, lr) = shaken(tiny_srvae(), 0.05), pair()
        torch.manual_seed(1)
        terms = model.loss(hr, lr)
        torch.manual_seed(1)
        with torch.no_grad():
            bound = model.elbo(hr, lr)
            of_x, of_y = bound.features, bound.features.of_lr
            nats = model.likelihood.log_prob(of_x.raw, of_x.base, 2 * hr - 1)
            nats += model.lr_prior.likelihood.log_prob(of_y.raw, of_y.base, 2 * lr - 1)
        assert len(bound.latents) == model.lr_prior.groups + 2
        for latent in bound.latents:
            nats -= latent.posterior.kl(latent.prior).sum(dim=(1, 2, 3))
        expected = bits_per_dim(-nats, hr).mean()
        assert float(terms["bits_per_dim"]) == pytest.approx(float(expected), rel=1e-5)
        assert float(terms["loss"].detach()) == pytest.approx(float(expected), rel=1e-5)

    def test_the_prior_of_z_hears_u_and_y(self):
        model, (hr, lr) = shaken(tiny_srvae()), pair()
        u = model.encode(hr, lr, seed=0)[0]
        one = model.decode([u], lr, temperature=0.0)
        assert not torch.allclose(one, model.decode([u + 1], lr, temperature=0.0), atol=1e-4)
        other_y = model.decode([u], lr.flip(-1), temperature=0.0)
        assert not torch.allclose(one, other_y, atol=1e-4)

    def test_latents_of_u_come_before_those_of_z(self):
        model, (hr, lr) = shaken(tiny_srvae()), pair()
        shapes = [tuple(z.shape[-2:]) for z in model.encode(hr, lr)]
        assert shapes == [(3, 4), (6, 8), (6, 8)]
        assert model.groups == 3

    def test_upscaling_draws_u_given_y(self):
        model, (_, lr) = shaken(tiny_srvae()), pair()
        with torch.no_grad():
            u = model.lr_prior.encode(lr, temperature=0.0)
        assert torch.allclose(model.upscale(lr), model.decode(u, lr, temperature=0.0), atol=1e-6)

    def test_sampling_hands_one_u_to_both_stages(self):
        """x is what p(x | y, z) makes of the y and the z that this very u gave."""
        model, noise = shaken(tiny_srvae()), Noise(3)
        with torch.no_grad():
            features, u = model.lr_prior.top_down(None, None, LatentSource(noise, shape=(2, 4, 4)))
            y = quantise(model.lr_prior.mean(features))
        expected = model.decode([latent.z for latent in u], y, generator=noise.generator)
        assert torch.allclose(model.sample(2, size=(16, 16), seed=3), expected, atol=1e-6)

    def test_the_importance_weighted_bound_is_one_of_x_and_y_together(self):
        """On 2x2 images with two latent numbers, u and z, log p(x, y) is an integral of two."""
        tiny = {"widths": [4], "groups": [1], "blocks": [1], "latent": 1, "mixtures": 1}
        of_u = {"u_widths": [4], "u_groups": [1], "u_blocks": [1]}
        model = shaken(SRVAE(scale=2, start_blocks=1, degradation="area", **tiny, **of_u), 0.3)
        hr = random_pictures(1, 3, 2, 2)
        lr = model.degradation(hr)
        with torch.no_grad():
            for stage in (model, model.lr_prior):  # wide, so that draws reach the whole posterior
                stage.decoder.levels[0][0].posterior.last.bias[1:] += 2
            truth = float(integrated(model, hr, lr))
            seeds, means = 200, []
            rows = hr.expand(seeds, -1, -1, -1), lr.expand(seeds, -1, -1, -1)
            for draws in (1, 4, 64):
                bound = model.importance_weighted(*rows, draws=draws, noise=Noise(0))
                error = float(bound.std()) / math.sqrt(seeds)
                assert float(bound.mean()) < truth + 3 * error
                means.append(float(bound.mean()))
        assert means[0] < means[1] < means[2]
        assert means[2] > truth - 0.2 * (truth - means[0])

    def test_u_is_run_once_a_step(self):
        model, (hr, lr) = tiny_srvae(), pair()
        calls: list[int] = []
        model.lr_prior.encoder.register_forward_hook(lambda *_: calls.append(1))
        model.loss(hr, lr)
        assert calls == [1]

    def test_both_stages_learn_from_one_loss(self):
        model, (hr, lr) = tiny_srvae(), pair()
        model.loss(hr, lr)["loss"].backward()
        for part in (model.lr_prior, model.from_u, model.decoder, model.start):
            assert any(p.grad.abs().sum() > 0 for p in part.parameters() if p.grad is not None)

    def test_it_has_its_own_p_of_y(self):
        with pytest.raises(ModelError, match="own"):
            tiny_srvae().with_lr_prior(tiny_hvae(scale=1, start="constant"))


def integrated(model: GenerativeModel, hr: Tensor, lr: Tensor) -> Tensor:
    """log p(x, y) of a model with two latents of one number each, by the trapezoidal rule."""
    axis = torch.linspace(-9, 9, 181)
    step = float(axis[1] - axis[0])
    u, z = (grid.reshape(-1, 1, 1, 1) for grid in torch.meshgrid(axis, axis, indexing="ij"))
    rows = len(u)
    hr, lr = hr.expand(rows, -1, -1, -1), lr.expand(rows, -1, -1, -1)
    features, latents = model.top_down(lr, None, LatentSource(given=[u, z]))
    joint = model.log_likelihood(features, hr, lr)
    for latent in latents:
        joint = joint + latent.prior.log_prob(latent.z).sum(dim=(1, 2, 3))
    return joint.double().logsumexp(dim=0) + 2 * math.log(step)


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
