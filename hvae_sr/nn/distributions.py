"""Likelihoods of 8-bit images, and the units that they are measured in.

Images are in [-1, 1] here (exactly k / 127.5 - 1 for the 8-bit value k); everything is computed
in float32, whatever precision the network ran in, and log-likelihoods are in nats.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.checks import one_of
from hvae_sr.nn.latents import DiagonalGaussian
from hvae_sr.nn.layers import depth_to_space
from hvae_sr.nn.noise import Noise

BIN = 2 / 255  # the distance between neighbouring 8-bit values in [-1, 1]
LOG_SCALE_FLOOR, LOG_SCALE_CEILING = -7.0, 3.0  # beyond them masses underflow in float32


def bits_per_dim(nats: Tensor, hr: Tensor) -> Tensor:
    """Nats of one image -> bits per colour value of the image `hr` (N, C, H, W)."""
    return nats / (math.log(2) * hr[0].numel())


def logistic_log_mass(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-mass that a logistic gives to the 8-bit bin around x; the two edge bins are open.

    Salimans et al. 2017 ("PixelCNN++"), eq. 2, without its clamps: the difference of two
    sigmoids is sigmoid(a) * sigmoid(-b) * (1 - exp(b - a)), which stays exact in both tails.
    """
    inverse = torch.exp(-log_scale)
    upper = (x - mean + BIN / 2) * inverse
    lower = (x - mean - BIN / 2) * inverse
    below, above = F.logsigmoid(upper), F.logsigmoid(-lower)
    inner = below + above + torch.log(-torch.expm1(-BIN * inverse))
    first, last = x < -1 + BIN / 2, x > 1 - BIN / 2
    return torch.where(first, below, torch.where(last, above, inner))


def eight_bits(x: Tensor) -> Tensor:
    """The nearest of the 256 values k / 127.5 - 1; what lies beyond the ends goes to these."""
    return x.add(1).mul(127.5).round().clamp(0, 255).div(127.5).sub(1)


def logistic_variance(log_scale: Tensor) -> Tensor:
    return torch.exp(2 * log_scale) * (math.pi**2 / 3)


class Likelihood(nn.Module):
    """p(x | raw): how the last feature map of a decoder describes an RGB image.

    `raw` is (N, channels, H, W) and zero means "the base image, with `initial_log_scale`";
    `base` is (N, 3, H, W) in [-1, 1], the image the means are offsets from.
    """

    channels: int
    squash = False  # whether the mean ends in a sigmoid instead of being an offset from the base
    has_base = True

    @property
    def initial_log_scale(self) -> float:
        """About bicubic's own error on CIFAR-10; without a base image, as large as images are."""
        return -2.5 if self.has_base else -1.0

    def log_prob(self, raw: Tensor, base: Tensor, x: Tensor) -> Tensor:
        """Log-likelihood of x (N, 3, H, W), in nats per image: (N,)."""
        raise NotImplementedError

    def mean(self, raw: Tensor, base: Tensor) -> Tensor:
        """The expected image (N, 3, H, W), not clipped."""
        raise NotImplementedError

    def sample(self, raw: Tensor, base: Tensor, noise: Noise, temperature: float = 1.0) -> Tensor:
        """A draw of x (N, 3, H, W), each value one of the 256.

        Args:
            noise: of the draw; it is asked for standard normal values at every pixel.
            temperature: factor on the scale; which component of a mixture is drawn is up to
                chance at any temperature.
        """
        raise NotImplementedError

    def variance(self, raw: Tensor, base: Tensor) -> Tensor:
        """Variance of each value (N, 3, H, W) in closed form.

        It leaves out that values are rounded to 8 bits and end at -1 and 1: near these ends the
        true variance is smaller.
        """
        raise NotImplementedError

    def offset(self, raw: Tensor) -> Tensor:
        """Network output -> offset of a mean, in units of the scale it starts with.

        Without this a step of the optimiser moves means by several of their own scales.
        """
        return raw * math.exp(self.initial_log_scale)

    def log_scale(self, raw: Tensor) -> Tensor:
        return (raw + self.initial_log_scale).clamp(LOG_SCALE_FLOOR, LOG_SCALE_CEILING)


class MixtureOfLogistics(Likelihood):
    """Discretised mixture of logistics, autoregressive over channels (Salimans et al. 2017).

    Green and blue means move with the *errors* of the channels before them, so the mixture's
    expected image is simply the weighted sum of its means, whatever the coefficients.

    Args:
        mixtures: number of logistics per pixel.
    """

    def __init__(self, mixtures: int = 10):
        super().__init__()
        self.mixtures = mixtures
        self.channels = 10 * mixtures

    def _split(self, raw: Tensor, base: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        n, _, height, width = raw.shape
        logits, rest = raw.float().split([self.mixtures, 9 * self.mixtures], dim=1)
        rest = rest.reshape(n, 3, 3, self.mixtures, height, width)
        offset, log_scale, coefficients = rest.unbind(dim=1)
        mean = base.float().unsqueeze(2) + self.offset(offset)
        return logits.log_softmax(dim=1), mean, self.log_scale(log_scale), coefficients.tanh()

    def log_prob(self, raw: Tensor, base: Tensor, x: Tensor) -> Tensor:
        log_weights, mean, log_scale, coefficients = self._split(raw, base)
        x = x.float().unsqueeze(2)
        red, green, _ = (x - mean).unbind(dim=1)
        to_green, red_to_blue, green_to_blue = coefficients.unbind(dim=1)
        shift = torch.stack(
            [torch.zeros_like(red), to_green * red, red_to_blue * red + green_to_blue * green],
            dim=1,
        )
        mass = logistic_log_mass(x, mean + shift, log_scale).sum(dim=1)
        return torch.logsumexp(log_weights + mass, dim=1).sum(dim=(1, 2))

    def mean(self, raw: Tensor, base: Tensor) -> Tensor:
        log_weights, mean, _, _ = self._split(raw, base)
        return (log_weights.exp().unsqueeze(1) * mean).sum(dim=2)

    def sample(self, raw: Tensor, base: Tensor, noise: Noise, temperature: float = 1.0) -> Tensor:
        log_weights, mean, log_scale, coefficients = self._split(raw, base)
        chosen = self._component(log_weights, noise)
        mean, log_scale, coefficients = (
            part.take_along_dim(chosen.unsqueeze(1), dim=2).squeeze(2)
            for part in (mean, log_scale, coefficients)
        )
        draw = temperature * log_scale.exp() * logistic_noise(mean, noise)
        to_green, red_to_blue, green_to_blue = coefficients.unbind(dim=1)
        # The density knows the 8-bit values of the channels before, so these shift the next ones.
        red = eight_bits(mean[:, 0] + draw[:, 0])
        red_error = red - mean[:, 0]
        green = eight_bits(mean[:, 1] + to_green * red_error + draw[:, 1])
        shift = red_to_blue * red_error + green_to_blue * (green - mean[:, 1])
        return torch.stack([red, green, eight_bits(mean[:, 2] + shift + draw[:, 2])], dim=1)

    def _component(self, log_weights: Tensor, noise: Noise) -> Tensor:
        """The index of one component per pixel (N, 1, H, W), by the inverse of the distribution."""
        uniform = torch.special.ndtr(noise(log_weights[:, :1]))
        beyond = log_weights.exp().cumsum(dim=1)[:, :-1] < uniform
        return beyond.sum(dim=1, keepdim=True)

    def variance(self, raw: Tensor, base: Tensor) -> Tensor:
        log_weights, mean, log_scale, coefficients = self._split(raw, base)
        weights = log_weights.exp().unsqueeze(1)
        red, green, blue = logistic_variance(log_scale).unbind(dim=1)
        to_green, red_to_blue, green_to_blue = coefficients.unbind(dim=1)
        within = torch.stack(
            [
                red,
                green + to_green**2 * red,
                blue
                + (red_to_blue + green_to_blue * to_green) ** 2 * red
                + green_to_blue**2 * green,
            ],
            dim=1,
        )
        expected = (weights * mean).sum(dim=2, keepdim=True)
        return (weights * (within + (mean - expected) ** 2)).sum(dim=2)


def logistic_noise(like: Tensor, noise: Noise) -> Tensor:
    """Standard logistic draws, made of standard normal ones."""
    normal = noise(like)
    return torch.special.log_ndtr(normal) - torch.special.log_ndtr(-normal)


class Logistic(Likelihood):
    """Discretised logistic with a learned scale, channels independent (Kingma et al. 2016)."""

    channels = 6

    def log_prob(self, raw: Tensor, base: Tensor, x: Tensor) -> Tensor:
        log_scale = self.log_scale(raw[:, 3:].float())
        mass = logistic_log_mass(x.float(), self.mean(raw, base), log_scale)
        return mass.sum(dim=(1, 2, 3))

    def mean(self, raw: Tensor, base: Tensor) -> Tensor:
        return base + self.offset(raw[:, :3].float())

    def sample(self, raw: Tensor, base: Tensor, noise: Noise, temperature: float = 1.0) -> Tensor:
        mean, scale = self.mean(raw, base), self.log_scale(raw[:, 3:].float()).exp()
        return eight_bits(mean + temperature * scale * logistic_noise(mean, noise))

    def variance(self, raw: Tensor, base: Tensor) -> Tensor:
        return logistic_variance(self.log_scale(raw[:, 3:].float()))


class Gaussian(Likelihood):
    """Normal density with a learned scale; the mass of an 8-bit bin is density times width.

    The floor keeps the standard deviation above one bin, where that product is accurate.
    """

    channels = 6

    def log_scale(self, raw: Tensor) -> Tensor:
        return (raw + self.initial_log_scale).clamp(math.log(BIN), LOG_SCALE_CEILING)

    def log_prob(self, raw: Tensor, base: Tensor, x: Tensor) -> Tensor:
        log_scale = self.log_scale(raw[:, 3:].float())
        density = DiagonalGaussian(self.mean(raw, base), log_scale.exp()).log_prob(x.float())
        return (density + math.log(BIN)).sum(dim=(1, 2, 3))

    def mean(self, raw: Tensor, base: Tensor) -> Tensor:
        return base + self.offset(raw[:, :3].float())

    def sample(self, raw: Tensor, base: Tensor, noise: Noise, temperature: float = 1.0) -> Tensor:
        std = self.log_scale(raw[:, 3:].float()).exp()
        return eight_bits(DiagonalGaussian(self.mean(raw, base), std).sample(noise, temperature))

    def variance(self, raw: Tensor, base: Tensor) -> Tensor:
        return torch.exp(2 * self.log_scale(raw[:, 3:].float()))


class FixedGaussian(Likelihood):
    """Normal likelihood whose standard deviation is a constant, as in the study.

    Args:
        sigma: standard deviation in the units of [0, 1] images (the study: 0.01).
        squash: end in a sigmoid, as the study's decoder did, instead of base plus offset.
    """

    channels = 3

    def __init__(self, sigma: float = 0.01, squash: bool = False):
        super().__init__()
        self.sigma = 2 * sigma
        self.squash = squash

    def log_prob(self, raw: Tensor, base: Tensor, x: Tensor) -> Tensor:
        mean = self.mean(raw, base)
        density = DiagonalGaussian(mean, torch.full_like(mean, self.sigma)).log_prob(x.float())
        return (density + math.log(BIN)).sum(dim=(1, 2, 3))

    def mean(self, raw: Tensor, base: Tensor) -> Tensor:
        return 2 * raw.float().sigmoid() - 1 if self.squash else base + self.offset(raw.float())

    def sample(self, raw: Tensor, base: Tensor, noise: Noise, temperature: float = 1.0) -> Tensor:
        mean = self.mean(raw, base)
        gaussian = DiagonalGaussian(mean, torch.full_like(mean, self.sigma))
        return eight_bits(gaussian.sample(noise, temperature))

    def variance(self, raw: Tensor, base: Tensor) -> Tensor:
        return torch.full_like(self.mean(raw, base), self.sigma**2)


def likelihood_head(width: int, likelihood: Likelihood, factor: int) -> nn.Sequential:
    """The last layers of a decoder: (N, width, h, w) -> parameters (N, channels, h f, w f).

    Args:
        factor: pixels of the image per pixel of the features, along each side.
    """
    conv = nn.Conv2d(width, likelihood.channels * factor**2, 1)
    nn.init.normal_(conv.weight, std=0.05 if likelihood.squash else 1e-3)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return nn.Sequential(nn.SiLU(), conv, depth_to_space(factor))


def likelihood(
    name: str, *, mixtures: int = 10, sigma: float = 0.01, squash: bool = False
) -> Likelihood:
    """A likelihood by the name that configs use.

    Args:
        name: `mixture_of_logistics`, `logistic`, `gaussian` or `fixed_gaussian`.
        mixtures: see `MixtureOfLogistics`.
        sigma, squash: see `FixedGaussian`.

    Raises:
        ValueError: for an unknown name.
    """
    known: dict[str, Callable[[], Likelihood]] = {
        "mixture_of_logistics": lambda: MixtureOfLogistics(mixtures),
        "logistic": Logistic,
        "gaussian": Gaussian,
        "fixed_gaussian": lambda: FixedGaussian(sigma, squash),
    }
    return known[one_of("likelihood", name, known)]()
