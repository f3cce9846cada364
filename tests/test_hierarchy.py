"""The top-down pass, and the bound: exact on a linear-Gaussian model, a bound on any other."""

import math

import pytest
import torch
from conftest import GENERATIVE, random_images, shaken, tiny_hvae, tiny_lr_prior
from torch import Tensor, nn

from hvae_sr.models import HVAE
from hvae_sr.models.hvae import Decoder, Encoder, LatentGroup
from hvae_sr.models.latent import ELBO, GenerativeModel, Level
from hvae_sr.models.pyramid import Pyramid, pyramid
from hvae_sr.nn.distributions import BIN, FixedGaussian, Likelihood
from hvae_sr.nn.latents import STD_FLOOR, DiagonalGaussian, LatentSource
from hvae_sr.nn.layers import CellKind
from hvae_sr.nn.noise import Noise
from hvae_sr.training.recipes import PRESETS

LEVELS = [Level(8, 1, 1, 1), Level(12, 2, 1, 2), Level(8, 0, 1, 1), Level(6, 1, 1, 3)]
SHAPE = Pyramid(LEVELS, stem=2, reduction=12)
PLAIN = CellKind("plain")


def group(width: int = 8, sees: str = "before", scale: float = 1.0) -> LatentGroup:
    return LatentGroup(width, 3, 4, PLAIN, sees, scale)


def encoder(levels: list[Level] = LEVELS, kind: CellKind = PLAIN) -> Encoder:
    return Encoder(Pyramid(levels, stem=2, reduction=12), 3, kind, "shuffle")


def pair(n: int = 2, height: int = 3, width: int = 2) -> tuple[Tensor, Tensor]:
    hr = random_images(n, 3, 4 * height, 4 * width)
    model = tiny_hvae()
    assert model.degradation is not None
    return hr, model.degradation(hr)


@pytest.fixture
def decoder() -> Decoder:
    groups = [[group(level.width) for _ in range(level.groups)] for level in LEVELS]
    return Decoder(SHAPE, groups, "shuffle", nn.Identity()).eval()


class TestPasses:
    def test_latents_come_coarse_to_fine(self, decoder: Decoder):
        h, latents = decoder(torch.randn(2, 8, 3, 5), {}, LatentSource())
        assert h.shape == (2, 6, 18, 30)
        sizes = [tuple(latent.z.shape) for latent in latents]
        assert sizes == [(2, 3, 3, 5), (2, 3, 6, 10), (2, 3, 6, 10), (2, 3, 18, 30)]

    def test_bottom_up_meets_top_down(self, decoder: Decoder):
        features = encoder()(torch.randn(2, 3, 36, 60))
        assert [tuple(features[index].shape[1:]) for index in range(4)] == [
            (8, 3, 5),
            (12, 6, 10),
            (8, 6, 10),
            (6, 18, 30),
        ]
        _, latents = decoder(torch.randn(2, 8, 3, 5), features, LatentSource())
        assert all(latent.posterior is not None and (latent.kl > 0).all() for latent in latents)

    def test_one_image_of_a_batch_does_not_see_another(self):
        network = encoder(kind=CellKind("bottleneck", "gelu"))
        images = torch.randn(2, 3, 12, 24)
        both = network(images), network(images[1:])
        for index in range(4):
            together, alone = (found[index] for found in both)
            assert torch.allclose(together[1:], alone, atol=1e-5)

    def test_no_features_above_the_first_latents(self):
        network = encoder([Level(8, 0, 1, 1), Level(8, 2, 1, 2)])
        assert list(network(torch.randn(1, 3, 8, 8))) == [1]
        assert not [key for key in network.state_dict() if key.startswith("coarser")]

    def test_pooled_levels_are_averages_and_repetitions(self):
        """The paper's: no weight joins two levels of one width, but for a bias of each."""
        shape = Pyramid([Level(3, 1, 0, 1), Level(3, 1, 0, 2)], stem=1, reduction=2)
        network = Encoder(shape, 3, PLAIN, "pool")
        network.stem[1] = nn.Identity()
        x = torch.randn(1, 3, 4, 6)
        assert torch.allclose(network(x)[0], nn.functional.avg_pool2d(x, 2), atol=1e-6)
        down = Decoder(shape, [[], []], "pool", nn.Identity())
        with torch.no_grad():
            down.finer[0][2].bias.fill_(0.5)
        h, _ = down(x, {}, LatentSource())
        expected = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) + 0.5
        assert torch.allclose(h, expected)


class TestGroup:
    def test_priors_start_as_standard_normals(self):
        _, latent = group()(torch.randn(2, 8, 4, 4), None, LatentSource(), 0)
        assert torch.equal(latent.prior.mean, torch.zeros(2, 3, 4, 4))
        assert torch.allclose(latent.prior.std, torch.ones(2, 3, 4, 4), atol=2 * STD_FLOOR)

    def test_posteriors_start_narrow(self):
        torch.manual_seed(0)
        h, features = torch.randn(2, 8, 4, 4), torch.randn(2, 8, 4, 4)
        _, latent = group()(h, features, LatentSource(), 0)
        assert latent.posterior is not None
        assert float(latent.posterior.std.detach().mean()) == pytest.approx(0.25, rel=0.2)
        assert latent.posterior.std.min() > 0.05 and latent.posterior.std.max() < 0.7

    def test_prior_draws_cost_nothing_and_posterior_draws_their_kl(self):
        one, h = group(), torch.randn(2, 8, 4, 4)
        assert torch.equal(one(h, None, LatentSource(), 0)[1].kl, torch.zeros(2))
        latent = one(h, torch.randn(2, 8, 4, 4), LatentSource(), 0)[1]
        assert latent.posterior is not None
        expected = latent.posterior.kl(latent.prior).sum(dim=(1, 2, 3))
        assert torch.equal(latent.kl, expected)

    def test_a_given_latent_wins(self):
        z, h, features = torch.randn(2, 3, 4, 4), torch.randn(2, 8, 4, 4), torch.randn(2, 8, 4, 4)
        _, latent = group()(h, features, LatentSource(given=[z]), 0)
        assert torch.equal(latent.z, z)

    def test_the_latent_reaches_the_state(self):
        network, h = group(), torch.randn(1, 8, 4, 4)
        given = (torch.full((1, 3, 4, 4), value) for value in (0.0, 1.0))
        one, other = (network(h, None, LatentSource(given=[z]), 0)[0] for z in given)
        assert not torch.allclose(one, other)

    @pytest.mark.parametrize("sees", ["before", "updated"])
    def test_the_posterior_sees_the_state_as_the_paper_has_it(self, sees: str):
        """What the prior's network adds to the state reaches the posterior only when asked to."""
        network = group(sees=sees)
        h, features = torch.randn(1, 8, 4, 4), torch.randn(1, 8, 4, 4)
        _, one = network(h, features, LatentSource(), 0)
        with torch.no_grad():
            network.prior.last.bias[6:] += 1.0
        _, other = network(h, features, LatentSource(), 0)
        assert one.posterior is not None and other.posterior is not None
        same = torch.equal(one.posterior.mean, other.posterior.mean)
        assert same is (sees == "before")
        assert torch.equal(one.prior.mean, other.prior.mean)


class TestPyramid:
    @pytest.mark.parametrize(
        ("arguments", "factors", "stem", "reduction"),
        [
            ((4, "lr", [8, 8, 8]), [1, 2, 2], 1, 4),
            ((4, "lr", [8, 8]), [1, 2], 2, 4),
            ((4, "lr", [8]), [1], 4, 4),
            ((3, "lr", [8, 8]), [1, 3], 1, 3),
            ((1, "constant", [8, 8, 8]), [1, 2, 2], 1, 4),
            ((1, "constant", [8, 8, 8], 2), [1, 2, 2], 2, 8),
            ((4, "constant", [8]), [1], 4, 4),
        ],
    )
    def test_levels_and_what_is_folded(self, arguments, factors, stem, reduction):
        scale, start, widths, *more = arguments
        ones = [1] * len(widths)
        found = pyramid(scale, start, widths, ones, ones, *more)
        assert [level.factor for level in found.levels] == factors
        assert (found.stem, found.reduction) == (stem, reduction)

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ((2, "lr", [8, 8, 8]), "levels"),
            ((4, "lr", [8, 8], 2), "stem"),
            ((1, "constant", [8], 0), "stem"),
            ((1, "lr", [8]), "scale 1"),
            ((4, "noise", [8]), "start"),
            ((4, "lr", []), "level"),
        ],
    )
    def test_what_cannot_be(self, arguments, named: str):
        scale, start, widths, *more = arguments
        ones = [1] * len(widths)
        with pytest.raises(ValueError, match=named):
            pyramid(scale, start, widths, ones, ones, *more)


def test_the_projection_starts_as_small_as_the_paper_says():
    """1/sqrt(groups) of what keeps the variance, unless another scale is given."""
    torch.manual_seed(0)
    paper, loud = tiny_hvae(latent=32), tiny_hvae(latent=32, projection_scale=1.0)
    (one, other) = (
        torch.stack([group.project.weight.std() for level in m.decoder.levels for group in level])
        for m in (paper, loud)
    )
    assert torch.allclose(one / other, torch.full_like(one, 3**-0.5), rtol=0.2)


def test_the_papers_configuration_has_the_papers_size():
    """39 M parameters on CIFAR-10 (table 1); ours has no gain and 3x3 kernels at 1x1."""
    with torch.device("meta"):
        model = HVAE(**PRESETS["hvae-cifar10-paper"].arguments)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(39e6, rel=0.03)
    assert model.groups == 43 and model.reduction == 32


@pytest.mark.parametrize("name", GENERATIVE)
class TestEncodeDecode:
    def test_decoding_what_was_encoded_gives_the_bounds_mean(self, name: str):
        model, (hr, lr) = shaken(GENERATIVE[name]()), pair()
        with torch.inference_mode():
            bound = model.elbo(hr, lr, Noise(3))
            mean = model.mean(bound.features).clamp(0, 1)
        latents = model.encode(hr, lr, seed=3)
        assert len(latents) == model.groups
        for latent, mine in zip(bound.latents, latents, strict=True):
            assert torch.equal(latent.z, mine)
        decoded = model.decode(latents, lr)
        assert torch.allclose(decoded, mean, atol=1e-5)
        assert torch.equal(decoded, model.decode(latents, lr, seed=99, temperature=5.0))

    def test_reconstruct_decodes_the_posterior_means(self, name: str):
        model, (hr, lr) = shaken(GENERATIVE[name]()), pair()
        decoded = model.decode(model.encode(hr, lr, temperature=0.0), lr)
        assert torch.allclose(model.reconstruct(hr, lr), decoded, atol=1e-5)

    def test_latents_carry_the_picture(self, name: str):
        model, (hr, lr) = shaken(GENERATIVE[name]()), pair()
        zeros = [torch.zeros_like(z) for z in model.encode(hr, lr)]
        assert not torch.allclose(model.reconstruct(hr, lr), model.decode(zeros, lr), atol=1e-3)

    def test_no_latents_is_sampling(self, name: str):
        model, (_, lr) = shaken(GENERATIVE[name]()), pair()
        drawn = model.upscale(lr, num_samples=1, temperature=0.7, seed=2)[:, 0]
        assert torch.equal(model.decode([], lr, temperature=0.7, seed=2), drawn)


class TestPartialLatents:
    def test_the_given_ones_are_kept_and_the_rest_is_drawn(self):
        model, (hr, lr) = shaken(tiny_hvae()), pair()
        first = model.encode(hr, lr, seed=0)[:1]
        with torch.inference_mode():
            _, latents = model.top_down(lr, None, LatentSource(Noise(1), given=first))
        assert torch.equal(latents[0].z, first[0])
        noise = Noise(1)
        for latent in latents[1:]:
            expected = latent.prior.mean + latent.prior.std * noise(latent.prior.mean)
            assert torch.allclose(latent.z, expected)

    def test_same_seed_same_rest(self):
        model, (hr, lr) = shaken(tiny_hvae()), pair()
        first = model.encode(hr, lr, seed=0)[:2]
        assert torch.equal(model.decode(first, lr, seed=1), model.decode(first, lr, seed=1))
        assert not torch.equal(model.decode(first, lr, seed=1), model.decode(first, lr, seed=2))

    def test_temperature_zero_needs_no_seed(self):
        model, (hr, lr) = shaken(tiny_hvae()), pair()
        first = model.encode(hr, lr, seed=0)[:1]
        one, other = (model.decode(first, lr, temperature=0.0) for _ in range(2))
        assert torch.equal(one, other)

    def test_temperatures_belong_to_levels(self):
        model, (_, lr) = shaken(tiny_hvae()), pair()
        coarse_only = [model.decode([], lr, temperature=[1.0, 0.0], seed=s) for s in (1, 1, 2)]
        assert torch.equal(coarse_only[0], coarse_only[1])
        assert not torch.equal(coarse_only[0], coarse_only[2])
        # With the coarse latent given, nothing random is left at temperatures (1, 0).
        z = torch.zeros(2, 2, *lr.shape[-2:])
        one, other = (model.decode([z], lr, temperature=[1.0, 0.0], seed=s) for s in (1, 2))
        assert torch.equal(one, other)
        assert not torch.equal(one, model.decode([z], lr, temperature=[0.0, 1.0], seed=1))

    def test_wrong_counts_are_refused(self):
        model, (hr, lr) = tiny_hvae(), pair()
        latents = model.encode(hr, lr)
        with pytest.raises(ValueError, match="3 groups"):
            model.decode([*latents, latents[-1]], lr)
        with pytest.raises(ValueError, match="2 levels"):
            model.decode(latents, lr, temperature=[1.0, 1.0, 1.0])
        with pytest.raises(ValueError, match="LR image"):
            model.decode(latents)

    def test_latents_of_an_unconditional_model_say_how_large_the_picture_is(self):
        model = shaken(tiny_lr_prior(widths=[8, 8, 8], groups=[0, 1, 2], blocks=[0, 1, 1]))
        hr = random_images(2, 3, 12, 8)
        latents = model.encode(hr, seed=0)
        assert [tuple(z.shape[-2:]) for z in latents] == [(6, 4), (12, 8), (12, 8)]
        for count in (1, 3):
            assert model.decode(latents[:count], temperature=0.0).shape == hr.shape
        with pytest.raises(ValueError, match="latents"):
            model.decode([])


class TestFullyConvolutional:
    @pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 9), (16, 3)])
    @pytest.mark.parametrize("name", GENERATIVE)
    def test_any_size(self, name: str, size: tuple[int, int]):
        model = shaken(GENERATIVE[name]())
        answer = model.upscale(random_images(1, 3, *size), num_samples=2, seed=0)
        assert answer.shape == (1, 2, 3, 4 * size[0], 4 * size[1])
        assert torch.isfinite(answer).all()

    def test_no_size_in_the_weights(self):
        """Far from the border a part of an image looks the same in the whole."""
        model = shaken(tiny_hvae(groups=[1, 1], cell="plain"))
        lr = random_images(1, 3, 40, 40)
        whole, part = model(lr), model(lr[..., 4:, :])
        assert torch.allclose(whole[..., 24 * 4 :, :], part[..., 20 * 4 :, :], atol=1e-4)


def test_draws_of_one_image_share_its_encoders():
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


# ---- The bound ------------------------------------------------------------------------------


class Features(nn.Module):
    """Encoder of the linear model: the image itself."""

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        return {0: image}


class Posterior(nn.Module):
    """q(z | h, x) = N(gain (x - h), std^2), as raw channels of (mean, raw std)."""

    def __init__(self, gain: float, std: float):
        super().__init__()
        self.gain, self.raw = gain, math.log2(2 ** (std - STD_FLOOR) - 1)

    def forward(self, both: Tensor) -> Tensor:
        h, x = both.chunk(2, dim=1)
        return torch.cat([self.gain * (x - h), torch.full_like(x, self.raw)], dim=1)


class Nothing(nn.Module):
    """The prior's network of the linear model: N(0, 1), and no update of the state."""

    def forward(self, h: Tensor) -> Tensor:
        raw_std = torch.full_like(h, math.log2(2 ** (1 - STD_FLOOR) - 1))
        return torch.cat([torch.zeros_like(h), raw_std, torch.zeros_like(h)], dim=1)


class Gain(nn.Module):
    def __init__(self, gain: float):
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x


def linear_gaussian(weights: list[float], sigma: float, skew: float = 1.0) -> HVAE:
    """x = sum_i w_i z_i + sigma e, whose posteriors are known, in the package's own passes.

    Args:
        weights: one per latent group, top down.
        sigma: standard deviation of the noise, in [-1, 1].
        skew: factor on the posterior's gains; 1 is the exact posterior.
    """
    model = tiny_lr_prior(widths=[3], groups=[len(weights)], blocks=[0], latent=3, cell="plain")
    model.encoder = Features()
    model.likelihood = FixedGaussian(sigma / 2)  # it counts sigma in [0, 1]
    model.head = Gain(math.exp(-Likelihood().initial_log_scale))
    for index, (group, weight) in enumerate(zip(model.decoder.levels[0], weights, strict=True)):
        rest = sum(w**2 for w in weights[index + 1 :]) + sigma**2
        total = weight**2 + rest
        group.prior = Nothing()
        group.posterior = Posterior(skew * weight / total, math.sqrt(rest / total))
        group.project, group.refine = Gain(weight), Gain(0.0)
    return model.eval()


def exact_log_likelihood(weights: list[float], sigma: float, hr: Tensor) -> Tensor:
    spread = math.sqrt(sum(w**2 for w in weights) + sigma**2)
    density = torch.distributions.Normal(0.0, spread).log_prob(2 * hr - 1)
    return (density + math.log(BIN)).sum(dim=(1, 2, 3))


@pytest.mark.parametrize("weights", [[0.7], [0.5, 0.3], [0.2, 0.6, 0.4]])
class TestLinearGaussian:
    sigma = 0.3

    def test_with_the_exact_posterior_every_draw_weighs_the_exact_likelihood(
        self, weights: list[float]
    ):
        hr = random_images(4, 3, 5, 5)
        bound = linear_gaussian(weights, self.sigma).elbo(hr, noise=Noise(0))
        exact = exact_log_likelihood(weights, self.sigma, hr)
        assert torch.allclose(bound.log_importance_weight, exact, rtol=1e-4)

    def test_with_the_exact_posterior_the_elbo_is_exact_on_average(self, weights: list[float]):
        hr = random_images(1, 3, 5, 5)
        model = linear_gaussian(weights, self.sigma)
        elbo = model.elbo(hr.expand(4000, -1, -1, -1), noise=Noise(0)).value
        exact = float(exact_log_likelihood(weights, self.sigma, hr))
        assert float(elbo.mean()) == pytest.approx(exact, abs=4 * float(elbo.std()) / 4000**0.5)

    def test_with_another_posterior_it_is_below(self, weights: list[float]):
        hr = random_images(1, 3, 5, 5)
        exact = float(exact_log_likelihood(weights, self.sigma, hr))
        model = linear_gaussian(weights, self.sigma, skew=0.5)
        bound = model.elbo(hr.expand(4000, -1, -1, -1), noise=Noise(0))
        error = 4 * float(bound.value.std()) / 4000**0.5
        assert float(bound.value.mean()) + error < exact
        assert float(log_mean_exp(bound.log_importance_weight)) > float(bound.value.mean())


def log_mean_exp(weights: Tensor) -> Tensor:
    return weights.logsumexp(0) - math.log(len(weights))


@pytest.mark.parametrize("name", GENERATIVE)
class TestBoundOfAnyModel:
    draws = 1500

    def bound(self, name: str) -> ELBO:
        model: GenerativeModel = shaken(GENERATIVE[name](), 0.05)
        hr, lr = pair(1, 1, 1)
        with torch.no_grad():
            n = self.draws
            return model.elbo(hr.expand(n, -1, -1, -1), lr.expand(n, -1, -1, -1), Noise(0))

    def test_the_closed_form_kl_is_the_mean_of_what_the_draws_say(self, name: str):
        bound = self.bound(name)
        gap = bound.log_importance_weight - bound.value
        assert float(gap.std()) > 0
        assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(self.draws)

    def test_importance_weighting_tightens_the_bound(self, name: str):
        bound = self.bound(name)
        error = 4 * float(bound.value.std()) / math.sqrt(self.draws)
        weights = bound.log_importance_weight
        few = weights.view(-1, 5).T  # 5 draws each
        assert float(bound.value.mean()) <= float(log_mean_exp(few).mean()) + error
        assert (
            float(log_mean_exp(few).mean())
            <= float(log_mean_exp(bound.log_importance_weight)) + error
        )

    def test_rates_are_what_the_groups_paid(self, name: str):
        bound = self.bound(name)
        assert torch.allclose(bound.value, -bound.distortion - sum(bound.rates), rtol=1e-5)
        for rate, latent in zip(bound.rates, bound.latents, strict=True):
            assert isinstance(latent.posterior, DiagonalGaussian)
            if isinstance(latent.prior, DiagonalGaussian):
                assert (rate >= 0).all()
                paid = latent.posterior.kl(latent.prior)
            else:  # no closed form: what the draw paid
                paid = latent.posterior.log_prob(latent.z) - latent.prior.log_prob(latent.z)
            assert torch.equal(rate, paid.sum(dim=(1, 2, 3)))
