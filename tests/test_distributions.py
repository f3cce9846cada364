"""Likelihoods, KL divergences and noise against NumPy, SciPy, torch.distributions and counting."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import random_images
from scipy import stats
from torch import Tensor

from hvae_sr.nn.distributions import (
    BIN,
    LOG_SCALE_FLOOR,
    FixedGaussian,
    Gaussian,
    Likelihood,
    Logistic,
    MixtureOfLogistics,
    bits_per_dim,
    logistic_log_mass,
)
from hvae_sr.nn.latents import STD_FLOOR, DiagonalGaussian
from hvae_sr.nn.noise import Noise

VALUES = torch.arange(256) / 127.5 - 1  # the 256 values of a channel, in [-1, 1]
LIKELIHOODS: dict[str, Callable[[], Likelihood]] = {
    "mixture": lambda: MixtureOfLogistics(3),
    "logistic": Logistic,
    "gaussian": Gaussian,
    "fixed": lambda: FixedGaussian(0.1),
    "squashed": lambda: FixedGaussian(0.1, squash=True),
}
every = pytest.mark.parametrize("kind", LIKELIHOODS)


def grey(values: Tensor) -> Tensor:
    """Values (N,) -> one-pixel images (N, 3, 1, 1)."""
    return values[:, None, None, None].expand(-1, 3, 1, 1)


def numpy_log_mass(x: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log-mass of 8-bit bins by SciPy's logistic distribution, open at both ends."""
    upper = np.where(x > 1 - BIN / 2, np.inf, x + BIN / 2)
    lower = np.where(x < -1 + BIN / 2, -np.inf, x - BIN / 2)
    above = (lower + upper) / 2 > mean  # take the difference where both terms are small
    cdf, sf = stats.logistic.cdf, stats.logistic.sf
    mass = np.where(
        above,
        sf(lower, mean, scale) - sf(upper, mean, scale),
        cdf(upper, mean, scale) - cdf(lower, mean, scale),
    )
    return np.log(mass)


@pytest.mark.parametrize("mean", [-3.0, -1.0, -0.2, 0.0, 0.97, 1.0, 5.0])
@pytest.mark.parametrize("log_scale", [-7.0, -5.0, -2.5, 0.0, 6.0])
def test_logistic_masses_sum_to_one(mean: float, log_scale: float):
    masses = logistic_log_mass(VALUES, torch.tensor(mean), torch.tensor(log_scale)).double().exp()
    assert masses.sum() == pytest.approx(1, abs=1e-4)


def test_logistic_masses_are_those_of_scipy():
    mean, log_scale = 0.13, -3.1
    masses = logistic_log_mass(VALUES, torch.tensor(mean), torch.tensor(log_scale))
    expected = numpy_log_mass(VALUES.double().numpy(), np.array(mean), np.exp(log_scale))
    assert np.allclose(masses.numpy(), expected, atol=1e-4)


def test_edge_bins_are_open():
    """A mean far outside gives all its mass to the edge value, none to its neighbour."""
    for edge, mean in [(0, -4.0), (255, 4.0)]:
        masses = logistic_log_mass(VALUES, torch.tensor(mean), torch.tensor(-3.0)).exp()
        assert masses[edge] == pytest.approx(1, abs=1e-5)


class TestMixtureOfLogistics:
    def settings(self, mixtures: int, log_scale: float) -> tuple[Tensor, Tensor]:
        """Raw parameters of one pixel, whose scales are about exp(log_scale); a base image."""
        raw = torch.randn(1, 10 * mixtures, 1, 1, generator=torch.Generator().manual_seed(1))
        parts = raw[:, mixtures:].view(3, 3, mixtures)
        parts[0] *= 0.3
        parts[1] = log_scale - Likelihood().initial_log_scale + 0.2 * parts[1]
        return raw, torch.tensor([0.1, -0.2, 0.05]).view(1, 3, 1, 1)

    def reference(self, raw: Tensor, base: Tensor, x: Tensor, channels: int = 3) -> np.ndarray:
        """log p of the first `channels` channels, by loops over NumPy float64: x (N, 3)."""
        mixtures = raw.shape[1] // 10
        flat = raw.flatten().double().numpy()
        logits = flat[:mixtures]
        offset, log_scale, coefficient = flat[mixtures:].reshape(3, 3, mixtures)
        means = base.flatten().double().numpy()[:, None] + offset * math.exp(-2.5)
        scales = np.exp(np.maximum(log_scale - 2.5, LOG_SCALE_FLOOR))
        link = np.tanh(coefficient)
        x = x.double().numpy()
        total = 0.0
        for k in range(mixtures):
            errors = x - means[:, k]
            centre = [
                np.full(len(x), means[0, k]),
                means[1, k] + link[0, k] * errors[:, 0],
                means[2, k] + link[1, k] * errors[:, 0] + link[2, k] * errors[:, 1],
            ]
            logs = [numpy_log_mass(x[:, c], centre[c], scales[c, k]) for c in range(channels)]
            total = total + np.exp(logits[k] + sum(logs))
        return np.log(total) - np.log(np.exp(logits).sum())

    @pytest.mark.parametrize("mixtures", [1, 3, 10])
    def test_agrees_with_numpy(self, mixtures: int):
        raw, base = self.settings(mixtures, -2.0)
        x = 2 * random_images(200, 3, 1, 1) - 1
        found = MixtureOfLogistics(mixtures).log_prob(
            raw.expand(200, -1, 1, 1), base.expand(200, -1, 1, 1), x
        )
        assert np.allclose(found.numpy(), self.reference(raw, base, x[..., 0, 0]), atol=1e-3)

    @pytest.mark.parametrize("mixtures", [1, 4])
    def test_summing_blue_out_leaves_red_and_green(self, mixtures: int):
        raw, base = self.settings(mixtures, -2.5)
        for red, green in [(0, 0), (3, 200), (140, 100), (255, 255)]:
            x = torch.stack([VALUES[red].expand(256), VALUES[green].expand(256), VALUES], dim=1)
            joint = MixtureOfLogistics(mixtures).log_prob(
                raw.expand(256, -1, 1, 1), base.expand(256, -1, 1, 1), x[..., None, None]
            )
            marginal = self.reference(raw, base, x[:1], channels=2)
            assert float(joint.logsumexp(0)) == pytest.approx(float(marginal[0]), abs=1e-3)

    def window(self) -> tuple[Tensor, Tensor]:
        """Every colour that a narrow mixture can make, and the log-probability of each."""
        raw, base = self.settings(3, math.log(BIN))
        near = (base.flatten() + 1) * 127.5
        axes = [VALUES[int(c) - 28 : int(c) + 29] for c in near]
        colours = torch.cartesian_prod(*axes)
        log_prob = MixtureOfLogistics(3).log_prob(
            raw.expand(len(colours), -1, 1, 1),
            base.expand(len(colours), -1, 1, 1),
            colours[..., None, None],
        )
        return colours.double(), log_prob.double()

    def test_all_colours_together_have_probability_one_and_the_stated_mean(self):
        colours, log_prob = self.window()
        assert float(log_prob.exp().sum()) == pytest.approx(1, abs=2e-3)
        raw, base = self.settings(3, math.log(BIN))
        expected = (log_prob.exp()[:, None] * colours).sum(dim=0)
        mean = MixtureOfLogistics(3).mean(raw, base).flatten().double()
        assert torch.allclose(mean, expected, atol=0.2 * BIN)

    def test_pixels_are_independent_and_add_up(self):
        likelihood, raw = MixtureOfLogistics(3), torch.randn(2, 30, 3, 4)
        base, x = torch.zeros(2, 3, 3, 4), 2 * random_images(2, 3, 3, 4) - 1
        alone = sum(
            likelihood.log_prob(
                raw[..., i : i + 1, j : j + 1],
                base[..., i : i + 1, j : j + 1],
                x[..., i : i + 1, j : j + 1],
            )
            for i in range(3)
            for j in range(4)
        )
        assert torch.allclose(likelihood.log_prob(raw, base, x), alone, rtol=1e-5)


@pytest.mark.parametrize("kind", ["logistic", "gaussian", "fixed"])
def test_masses_of_independent_channels_sum_to_one(kind: str):
    """Summing red out leaves p(g) p(b), and so on: the three sums multiply to p(r, g, b)^2."""
    likelihood = LIKELIHOODS[kind]()
    raw = torch.tensor([0.5, -0.3, 0.0, 0.2, -0.8, -5.0])[: likelihood.channels]
    raw = raw.view(1, -1, 1, 1).expand(256, -1, 1, 1)
    here = torch.full((256, 3, 1, 1), float(VALUES[128]))
    base = torch.zeros(256, 3, 1, 1)
    log_sums = []
    for channel in range(3):
        x = here.clone()
        x[:, channel] = VALUES.view(-1, 1, 1)
        log_sums.append(likelihood.log_prob(raw, base, x).logsumexp(dim=0))
    joint = likelihood.log_prob(raw[:1], base[:1], here[:1])
    assert float(sum(log_sums)) == pytest.approx(2 * float(joint), abs=2e-3)


@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_fixed_gaussian_is_the_normal_density_of_pictures_in_0_1(sigma: float):
    raw, x = torch.randn(2, 3, 4, 4), random_images(2, 3, 4, 4)
    likelihood = FixedGaussian(sigma, squash=True)
    log_prob = likelihood.log_prob(raw, torch.zeros(2, 3, 4, 4), 2 * x - 1)
    density = torch.distributions.Normal(raw.sigmoid(), sigma).log_prob(x)
    expected = (density - math.log(255)).sum(dim=(1, 2, 3))  # a bin of [0, 1] is 1 / 255 wide
    assert torch.allclose(log_prob, expected, rtol=1e-4)


@every
def test_the_mean_is_the_picture_the_likelihood_likes_best(kind: str):
    """Symmetric single components peak at their mean; raw zero means the base image."""
    likelihood = LIKELIHOODS[kind]()
    base = torch.full((1, 3, 2, 2), 100 / 127.5 - 1)
    raw = torch.zeros(1, likelihood.channels, 2, 2)
    mean = likelihood.mean(raw, base)
    assert torch.allclose(mean, torch.zeros_like(base) if kind == "squashed" else base)
    scores = likelihood.log_prob(
        raw.expand(256, -1, -1, -1), base.expand(256, -1, -1, -1), grey(VALUES).expand(-1, 3, 2, 2)
    )
    assert int(scores.argmax()) in ((127, 128) if kind == "squashed" else (100,))


@every
@pytest.mark.parametrize("level", [-60.0, -5.0, 0.0, 60.0])
@pytest.mark.parametrize("base", [-1.0, 0.0, 1.0])
def test_extremes_stay_finite_with_finite_gradients(kind: str, level: float, base: float):
    likelihood = LIKELIHOODS[kind]()
    raw = torch.full((3, likelihood.channels, 1, 1), level, requires_grad=True)
    bases = torch.full((3, 3, 1, 1), base, requires_grad=True)
    log_prob = likelihood.log_prob(raw, bases, grey(torch.tensor([-1.0, 0.5, 1.0])))
    assert torch.isfinite(log_prob).all()
    log_prob.sum().backward()
    gradients = [raw.grad] if kind == "squashed" else [raw.grad, bases.grad]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@every
def test_low_precision_networks_get_float32_likelihoods(kind: str):
    likelihood = LIKELIHOODS[kind]()
    raw = torch.randn(1, likelihood.channels, 2, 2).bfloat16()
    base, x = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    low = likelihood.log_prob(raw, base, x)
    assert low.dtype == torch.float32
    assert torch.equal(low, likelihood.log_prob(raw.float(), base, x))


def test_bits_per_dim_of_a_uniform_guess_is_eight():
    picture = torch.zeros(1, 3, 5, 7)
    nats = torch.tensor([math.log(256) * picture.numel()])
    assert float(bits_per_dim(nats, picture)) == pytest.approx(8)


class TestDiagonalGaussian:
    def pair(self) -> tuple[DiagonalGaussian, DiagonalGaussian]:
        return (
            DiagonalGaussian.from_raw(torch.randn(2, 6, 3, 3)),
            DiagonalGaussian.from_raw(torch.randn(2, 6, 3, 3)),
        )

    def test_kl_and_density_are_those_of_torch(self):
        q, p = self.pair()
        as_torch = [torch.distributions.Normal(d.mean, d.std) for d in (q, p)]
        expected = torch.distributions.kl_divergence(*as_torch)
        assert torch.allclose(q.kl(p), expected, atol=1e-5)
        z = torch.randn(2, 3, 3, 3)
        assert torch.allclose(q.log_prob(z), as_torch[0].log_prob(z), atol=1e-5)

    def test_kl_agrees_with_monte_carlo(self):
        q, p = self.pair()
        noise = Noise(0)
        gaps = []
        for _ in range(2000):
            z = q.sample(noise)
            gaps.append((q.log_prob(z) - p.log_prob(z)).sum())
        gap = torch.stack(gaps)
        error = 4 * float(gap.std()) / math.sqrt(len(gap))
        assert float(gap.mean()) == pytest.approx(float(q.kl(p).sum()), abs=error)

    def test_kl_is_zero_only_between_equals(self):
        q, p = self.pair()
        assert torch.allclose(q.kl(q), torch.zeros_like(q.mean))
        assert (q.kl(p) > 0).all()

    def test_raw_zero_is_the_standard_normal(self):
        q = DiagonalGaussian.from_raw(torch.zeros(1, 4, 2, 2))
        assert torch.equal(q.mean, torch.zeros(1, 2, 2, 2))
        assert torch.allclose(q.std, torch.full_like(q.std, 1 + STD_FLOOR))

    def test_standard_deviations_never_vanish_nor_explode(self):
        raw = torch.tensor([0.0, -1e4]).view(1, 2, 1, 1)
        assert float(DiagonalGaussian.from_raw(raw).std) == pytest.approx(STD_FLOOR)
        raw = torch.tensor([0.0, 1e4]).view(1, 2, 1, 1)
        assert float(DiagonalGaussian.from_raw(raw).std) == pytest.approx(1e4, rel=1e-3)

    @pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
    def test_temperature_scales_the_standard_deviation(self, temperature: float):
        ones = torch.ones(200, 200)
        z = DiagonalGaussian(2 * ones, 3 * ones).sample(Noise(0), temperature)
        assert float(z.std()) == pytest.approx(3 * temperature, rel=0.02)
        assert float(z.mean()) == pytest.approx(2, abs=0.06)


class TestNoise:
    def test_a_seed_names_its_draws(self):
        like = torch.zeros(3, 4)
        assert torch.equal(Noise(5)(like), Noise(5)(like))
        assert not torch.equal(Noise(5)(like), Noise(6)(like))

    def test_draws_follow_each_other(self):
        noise, like = Noise(5), torch.zeros(3, 4)
        assert not torch.equal(noise(like), noise(like))

    def test_a_generator_is_used_and_moved_on(self):
        like = torch.zeros(3, 4)
        generator = torch.Generator().manual_seed(5)
        assert torch.equal(Noise(generator)(like), Noise(5)(like))
        assert torch.equal(generator.get_state(), state_after(5, like))

    def test_a_seed_leaves_the_global_generator_alone(self):
        before = torch.get_rng_state()
        Noise(5)(torch.zeros(3))
        assert torch.equal(torch.get_rng_state(), before)

    def test_draws_take_the_type_of_what_they_are_for(self):
        like = torch.zeros(2, dtype=torch.bfloat16)
        assert Noise(1)(like).dtype == torch.bfloat16


def state_after(seed: int, like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    torch.randn(like.shape, generator=generator)
    return generator.get_state()


# ---- Draws against the densities ---------------------------------------------------------------

DRAWS = 20_000
BY_NAME = {
    "mixture_of_logistics": lambda: MixtureOfLogistics(3),
    "logistic": Logistic,
    "gaussian": Gaussian,
    "fixed_gaussian": lambda: FixedGaussian(0.04),
}


def one_pixel(name: str, seed: int = 0, offset: float = 0.0) -> tuple[Likelihood, Tensor, Tensor]:
    """A likelihood, its parameters and its base for one pixel, all of them arbitrary."""
    torch.manual_seed(seed)
    made = BY_NAME[name]()
    return made, torch.randn(1, made.channels, 1, 1), offset + 0.2 * torch.randn(1, 3, 1, 1)


def drawn(made: Likelihood, raw: Tensor, base: Tensor, temperature: float = 1.0) -> Tensor:
    """Draws of one pixel, (DRAWS, 3), as numbers of the 256 values."""
    rows = raw.expand(DRAWS, -1, -1, -1), base.expand(DRAWS, -1, -1, -1)
    x = made.sample(*rows, Noise(1), temperature)
    return ((x + 1) * 127.5).round().long()[:, :, 0, 0]


def as_images(values: Tensor) -> Tensor:
    """Numbers of the 256 values (N, 3) -> one-pixel images (N, 3, 1, 1) in [-1, 1]."""
    return (values / 127.5 - 1)[:, :, None, None]


def probabilities(made: Likelihood, raw: Tensor, base: Tensor, values: Tensor) -> Tensor:
    rows = raw.expand(len(values), -1, -1, -1), base.expand(len(values), -1, -1, -1)
    return made.log_prob(*rows, as_images(values)).exp()


def assert_drawn_from(counts: Tensor, expected: Tensor) -> None:
    """Pearson's chi-square over the 256 values, rare ones taken together."""
    expected = expected.double() / expected.double().sum() * counts.sum()
    common = expected >= 5
    found = torch.cat([counts[common], counts[~common].sum()[None]]).double()
    wanted = torch.cat([expected[common], expected[~common].sum()[None]])
    kept = wanted > 1e-3
    assert stats.chisquare(found[kept].numpy(), wanted[kept].numpy(), sum_check=False).pvalue > 1e-3


def assert_uniform(below: Tensor, up_to: Tensor) -> None:
    """Distribution functions just below and at each draw: a point between is uniform in 0 to 1."""
    between = below + torch.rand(len(below), generator=torch.Generator().manual_seed(2)) * (
        up_to - below
    )
    counts = torch.histc(between.float().clamp(0, 1), bins=32, min=0, max=1)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def ranks(table: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities (N, 256) and values (N,) -> the distribution function below and at each."""
    total = (table / table.sum(dim=1, keepdim=True)).cumsum(dim=1)
    up_to = total.gather(1, values[:, None])[:, 0]
    return up_to - (table / table.sum(dim=1, keepdim=True)).gather(1, values[:, None])[:, 0], up_to


class TestDraws:
    def test_of_the_mixture_follow_its_density_channel_by_channel(self):
        """Against the joint probabilities of all 256^3 colours of a pixel near white."""
        made, raw, base = one_pixel("mixture_of_logistics", offset=0.8)
        axis = torch.arange(256.0)
        green_blue = torch.cartesian_prod(axis, axis)
        table = torch.stack(
            [
                probabilities(
                    made, raw, base, torch.cat([red.expand(len(green_blue), 1), green_blue], dim=1)
                ).view(256, 256)
                for red in axis
            ]
        )
        assert float(table.sum()) == pytest.approx(1, abs=1e-3)
        x = drawn(made, raw, base)
        assert_drawn_from(torch.bincount(x[:, 0], minlength=256), table.sum(dim=(1, 2)))
        assert_drawn_from(torch.bincount(x[:, 1], minlength=256), table.sum(dim=(0, 2)))
        assert_drawn_from(torch.bincount(x[:, 2], minlength=256), table.sum(dim=(0, 1)))
        assert_uniform(*ranks(table.sum(dim=2)[x[:, 0]], x[:, 1]))
        assert_uniform(*ranks(table[x[:, 0], x[:, 1]], x[:, 2]))

    @pytest.mark.parametrize("offset", [0.0, -0.95])
    def test_of_the_logistic_follow_its_density(self, offset: float):
        made, raw, base = one_pixel("logistic", offset=offset)
        x = drawn(made, raw, base)
        for channel in range(3):
            values = x[:1].repeat(256, 1).float()
            values[:, channel] = torch.arange(256)
            expected = probabilities(made, raw, base, values)
            assert_drawn_from(torch.bincount(x[:, channel], minlength=256), expected)

    @pytest.mark.parametrize("name", ["gaussian", "fixed_gaussian"])
    def test_of_gaussians_have_the_moments_of_the_density(self, name: str):
        """Of values away from the ends: a density times a width knows no ends."""
        made, raw, base = one_pixel(name)
        x = drawn(made, raw, base).double() / 127.5 - 1
        assert x.abs().max() < 1
        mean = made.mean(raw, base)[0, :, 0, 0]
        std = made.variance(raw, base)[0, :, 0, 0].sqrt()
        error = 4 * std / DRAWS**0.5
        assert ((x.mean(dim=0) - mean).abs() < error).all()
        assert torch.allclose(x.std(dim=0).float(), std, rtol=0.03)

    @pytest.mark.parametrize("name", BY_NAME)
    def test_have_the_variance_of_the_closed_form_away_from_the_ends(self, name: str):
        made, raw, base = one_pixel(name, seed=3)
        x = drawn(made, raw, base).double() / 127.5 - 1
        rounding = BIN**2 / 12  # of values to 8 bits, which the closed form leaves out
        expected = made.variance(raw, base)[0, :, 0, 0].double() + rounding
        assert torch.allclose(x.var(dim=0), expected, rtol=0.05)
        assert torch.allclose(x.mean(dim=0).float(), made.mean(raw, base)[0, :, 0, 0], atol=5e-3)

    @pytest.mark.parametrize("name", BY_NAME)
    def test_are_8_bit_values_that_a_seed_names(self, name: str):
        made = BY_NAME[name]()
        raw, base = torch.randn(2, made.channels, 3, 4), torch.rand(2, 3, 3, 4) * 2 - 1
        one, same, other = (made.sample(raw, base, Noise(seed)) for seed in (1, 1, 2))
        numbers = (one + 1) * 127.5
        assert torch.allclose(numbers, numbers.round(), atol=1e-3)
        assert one.min() >= -1 and one.max() <= 1
        assert torch.equal(one, same) and not torch.equal(one, other)

    @pytest.mark.parametrize("name", ["logistic", "gaussian", "fixed_gaussian"])
    def test_temperature_multiplies_the_scale(self, name: str):
        made, raw, base = one_pixel(name)
        full, half = (drawn(made, raw, base, t).double().std(dim=0) for t in (1.0, 0.5))
        assert torch.allclose(half, 0.5 * full, rtol=0.05)

    def test_at_a_small_temperature_a_mixture_still_chooses(self):
        made, raw, base = one_pixel("mixture_of_logistics")
        centres = made._split(raw, base)[1][0, 0, :, 0, 0]
        weights = made._split(raw, base)[0][0, :, 0, 0].exp()
        x = drawn(made, raw, base, 1e-4)[:, 0]
        numbers = ((centres + 1) * 127.5).round().clamp(0, 255).long()
        for number in numbers.unique():
            share = float(weights[numbers == number].sum())
            assert float((x == number).float().mean()) == pytest.approx(share, abs=0.02)
