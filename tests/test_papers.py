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
    tiny_srvae,
)
from torch import Tensor

from hvae_sr.errors import ModelError
from hvae_sr.models import SRVAE
from hvae_sr.models.hierarchy import Evidence
from hvae_sr.models.ladder import precision_weighted
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.distributions import bits_per_dim
from hvae_sr.nn.latents import DiagonalGaussian, LatentSource
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
