"""What each paper of the family claims, in miniature."""

import math

import pytest
import torch
from conftest import (
    random_pictures,
    shaken,
    smooth_pictures,
    tiny_biva,
    tiny_hvae,
    tiny_ladder,
    tiny_nvae,
)
from torch import Tensor, nn

from hvae_sr.models.hierarchy import Evidence
from hvae_sr.models.ladder import precision_weighted
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.models.nvae import Residual, SpectralNorms, convolutions
from hvae_sr.nn.latents import DiagonalGaussian, LatentSource
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


class TestLadder:
    def test_the_merge_is_the_normalised_product_of_two_gaussians(self):
        rising, prior = gaussian(1), gaussian(2)
        merged = precision_weighted(rising, prior)
        points = torch.linspace(-3, 3, 7).view(-1, 1, 1, 1, 1)
        product = rising.log_prob(points) + prior.log_prob(points)
        ratio = product - merged.log_prob(points)  # the log of the normaliser: the same everywhere
        assert torch.allclose(ratio, ratio[:1].expand_as(ratio), atol=1e-4)

    def test_the_surer_side_wins_and_both_together_are_surer(self):
        prior = DiagonalGaussian(torch.zeros(1), torch.ones(1))
        sure, vague = (DiagonalGaussian(torch.ones(1), torch.tensor([s])) for s in (0.1, 10.0))
        assert float(precision_weighted(sure, prior).mean) == pytest.approx(1 / 1.01)
        assert float(precision_weighted(vague, prior).mean) == pytest.approx(0.01 / 1.01)
        for rising in (sure, vague):
            assert precision_weighted(rising, prior).std < torch.minimum(rising.std, prior.std)

    def test_what_rises_does_not_see_the_state(self):
        group = shaken(tiny_ladder()).decoder.levels[1][0]
        features = Evidence(torch.randn(1, 8, 4, 4))
        _, one = group(torch.randn(1, 8, 4, 4), LatentSource(), evidence=features)
        _, other = group(torch.randn(1, 8, 4, 4), LatentSource(), evidence=features)
        for latent in (one, other):
            precision = latent.posterior.std**-2 - latent.prior.std**-2
            latent.rising = (
                (latent.posterior.mean / latent.posterior.std**2)
                - (latent.prior.mean / latent.prior.std**2),
                precision,
            )
        assert torch.allclose(one.rising[0], other.rising[0], rtol=1e-3, atol=1e-3)
        assert torch.allclose(one.rising[1], other.rising[1], rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize(("maker", "carried"), [(tiny_ladder, False), (tiny_hvae, True)])
    def test_a_latent_hears_only_the_one_above_it(self, maker, carried: bool):
        """Given the last latent, the picture does not depend on the others; in VDVAE it does."""
        model, (hr, lr) = shaken(maker()), pair()
        latents = model.encode(hr, lr, seed=0)
        changed = [latents[0] + 1, latents[1] - 1, latents[2]]
        same = torch.allclose(model.decode(latents, lr), model.decode(changed, lr), atol=1e-6)
        assert same is not carried

    def test_priors_still_hear_the_latent_above(self):
        model, (_, lr) = shaken(tiny_ladder()), pair()
        z = [torch.zeros(2, 2, *lr.shape[-2:]), torch.ones(2, 2, *lr.shape[-2:])]
        one, other = (model.decode([first], lr, temperature=0.0) for first in z)
        assert not torch.allclose(one, other, atol=1e-4)

    def test_the_vae_it_is_compared_with_ignores_the_prior(self):
        group = shaken(tiny_ladder(merge="bottom_up")).decoder.levels[1][0]
        features = Evidence(torch.randn(1, 8, 4, 4))
        (_, one), (_, other) = (
            group(torch.randn(1, 8, 4, 4), LatentSource(), evidence=features) for _ in range(2)
        )
        assert torch.equal(one.posterior.mean, other.posterior.mean)
        assert not torch.equal(one.prior.mean, other.prior.mean)

    def test_unknown_merges_are_refused(self):
        with pytest.raises(ValueError, match="merge"):
            tiny_ladder(merge="sum")


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


class TestBIVA:
    def test_both_kinds_of_latents_are_used(self):
        hr, model = random_pictures(8, 3, 16, 16), tiny_biva(groups=[2, 2])
        assert model.degradation is not None
        lr = model.degradation(hr)
        trained(model, hr, lr, 60)
        with torch.no_grad():
            rates = [float(r.mean()) for r in model.elbo(hr, lr, Noise(0)).rates]
        bottom_up, top_down = rates[0::2], rates[1::2]
        assert min(bottom_up) > 0.1 and min(top_down) > 0.1

    def test_bottom_up_latents_travel_upwards(self):
        """What the coarse level's posterior sees depends on what was drawn at the fine one."""
        model, (hr, lr) = shaken(tiny_biva(groups=[1, 2])), pair()
        activations = model.bottom_up(hr, lr)
        draws = [
            model.top_down(lr, activations, LatentSource(Noise(seed)))[1] for seed in (1, 1, 2)
        ]
        coarse = [latents[0].posterior.mean for latents in draws]
        fine = [latents[1].posterior.mean for latents in draws]
        assert torch.equal(coarse[0], coarse[1]) and not torch.equal(coarse[0], coarse[2])
        assert torch.equal(fine[0], fine[2])

    def test_their_posterior_is_the_one_of_the_way_up(self):
        """It does not hear what came down from above."""
        model, (hr, lr) = shaken(tiny_biva()), pair()
        activations = model.bottom_up(hr, lr)
        _, latents = model.top_down(lr, activations, LatentSource(Noise(0)))
        changed = [latents[0].z + 1]
        _, others = model.top_down(lr, activations, LatentSource(Noise(0), given=changed))
        assert torch.equal(latents[1].posterior.mean, others[1].posterior.mean)
        assert not torch.equal(latents[1].prior.mean, others[1].prior.mean)
        assert not torch.equal(latents[2].posterior.mean, others[2].posterior.mean)

    def test_every_draw_takes_another_way_up(self):
        model, (hr, lr) = shaken(tiny_biva()), pair()
        with torch.no_grad():
            one, other = model.elbos(hr, lr, Noise(0), draws=2)
        assert not torch.equal(one.latents[0].z, other.latents[0].z)


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
