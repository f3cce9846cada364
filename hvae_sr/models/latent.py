"""What every VAE of the family can do: bound, draw, sample, encode, decode.

A subclass says how the parts look (`assemble`); how they work together is written here once.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.errors import ModelError
from hvae_sr.models.base import SuperResolutionModel, factors
from hvae_sr.models.hierarchy import (
    STARTS,
    BottomUp,
    Choices,
    Evidence,
    FromConstant,
    FromLR,
    Guide,
    LatentGroup,
    Level,
    TopDown,
)
from hvae_sr.models.registry import find
from hvae_sr.nn.distributions import FixedGaussian, Likelihood, bits_per_dim
from hvae_sr.nn.latents import LatentSample
from hvae_sr.nn.layers import depth_to_space, residuals
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import checked_enlargement, enlarge, quantise

Temperature = float | Sequence[float]


@dataclass
class Bound:
    """One evaluation of the ELBO; all in nats per picture, (N,).

    Args:
        distortion: -log p(x | z, y) of the posterior draw.
        rates: KL of each group, coarse to fine.
        latents: what each group drew.
        mean: the decoded picture (N, 3, H, W) in [0, 1], not clipped.
    """

    distortion: Tensor
    rates: list[Tensor]
    latents: list[LatentSample]
    mean: Tensor

    @property
    def rate(self) -> Tensor:
        return torch.stack(self.rates).sum(dim=0)

    @property
    def elbo(self) -> Tensor:
        return -self.distortion - self.rate

    @property
    def importance_weight(self) -> Tensor:
        """log p(x, z | y) - log q(z | x, y) of the drawn z, in nats: (N,).

        Its log-mean-exp over draws is the bound of Burda et al. 2016.
        """
        ratio = torch.zeros_like(self.distortion)
        for latent in self.latents:
            assert latent.posterior is not None
            gap = latent.prior.log_prob(latent.z) - latent.posterior.log_prob(latent.z)
            ratio = ratio + gap.sum(dim=(1, 2, 3))
        return ratio - self.distortion


UNCONDITIONAL_LOG_SCALE = -1.0  # without a base picture, errors start as large as pictures


class GenerativeModel(SuperResolutionModel):
    """A hierarchical latent variable model p(x | y), or p(x) when it starts from a constant.

    Args:
        scale, degradation: see `SuperResolutionModel`.
        lr_prior: config of the model p(y) that `sample` draws LR pictures from, or None. Since y
            is a function of x, log p(x) = log p(y) + log p(x | y) exactly.
        base_model: config of the deterministic network whose image the means are offsets from, or
            None for interpolation. The latents then describe what regression cannot know.
        enlargement: interpolation of the LR image, see `hvae_sr.nn.resize.enlarge`.
    """

    is_stochastic = True
    levels: list[Level]
    encodes_once = True  # whether all draws of a picture share what the encoders say

    def __init__(
        self,
        scale: int,
        degradation: str,
        lr_prior: dict[str, Any] | None,
        base_model: dict[str, Any] | None = None,
        enlargement: str = "bicubic",
    ):
        super().__init__(scale, degradation)
        self.enlargement = checked_enlargement(enlargement)
        self.lr_prior = _prior_of_lr(lr_prior) if lr_prior is not None else None
        self.base_model = self._checked_base(base_model) if base_model is not None else None

    def assemble(
        self,
        *,
        widths: list[int],
        groups: list[int],
        blocks: list[int],
        choices: Choices,
        start: str,
        start_blocks: int,
        likelihood: Likelihood,
        encoder_cell: str | None = None,
        finish_blocks: int = 0,
    ) -> None:
        """Build the parts from per-level lists, coarse to fine.

        Args:
            widths, groups, blocks: see `Level`.
            choices: what the paper decides about its latents.
            start: what the top-down state starts from, of `STARTS`.
            start_blocks: residual cells of the LR encoder.
            likelihood: p(x | z).
            encoder_cell: kind of the encoders' cells; left out, that of `choices`.
            finish_blocks: residual cells after the last latent.

        Raises:
            ValueError: for lists of different lengths, more levels than the scale has steps, or
                an unknown choice.
        """
        if not len(widths) == len(groups) == len(blocks) >= 1:
            raise ValueError("widths, groups and blocks need one entry per level")
        if start not in STARTS:
            raise ValueError(f"start must be one of {STARTS}, not {start!r}")
        if self.scale == 1 and start == "lr":
            raise ValueError("scale 1 has no LR picture to start from: use start='constant'")
        if self.base_model is not None and start != "lr":
            raise ValueError("base_model: only a model that starts from the LR picture has a base")
        steps = factors(self.scale)
        if start == "constant":
            steps = (steps + [2] * len(widths))[: max(len(steps), len(widths) - 1)]
        if len(widths) > len(steps) + 1:
            raise ValueError(f"x{self.scale} has {len(steps) + 1} levels, not {len(widths)}")
        inner, tail = steps[: len(widths) - 1], steps[len(widths) - 1 :]
        self.levels = [
            Level(*level) for level in zip(widths, groups, blocks, [1, *inner], strict=True)
        ]
        self.reduction = math.prod(steps)  # HR pixels per pixel of the coarsest level
        stem = math.prod(tail)
        self.is_conditional = start == "lr"
        if not self.is_conditional:
            likelihood.initial_log_scale = UNCONDITIONAL_LOG_SCALE
        cell, activation = encoder_cell or choices.cell, choices.activation
        self.start: nn.Module = (
            FromLR(widths[0], start_blocks, cell, activation)
            if self.is_conditional
            else FromConstant(widths[0])
        )
        inputs = 6 if self.is_conditional else 3
        self.bottom_up = self._bottom_up_pass(inputs, stem, cell, choices)
        if self.base_model is not None:
            _amplify_errors(self.bottom_up, stem, likelihood)
        depth = max(1, sum(groups))
        self.top_down = TopDown(
            self.levels,
            [self._groups(level, depth, choices) for level in self.levels],
            choices.links,
            residuals(choices.cell, widths[-1], finish_blocks, activation),
        )
        self.likelihood = likelihood
        head = nn.Conv2d(widths[-1], likelihood.channels * stem**2, 1)
        nn.init.normal_(head.weight, std=1e-3 if not _squashed(likelihood) else 0.05)
        nn.init.zeros_(head.bias)  # type: ignore[arg-type]
        self.head = nn.Sequential(nn.SiLU(), head, depth_to_space(stem))

    def _bottom_up_pass(self, inputs: int, stem: int, cell: str, choices: Choices) -> BottomUp:
        return BottomUp(self.levels, inputs, stem, cell, choices.activation)

    def _groups(self, level: Level, depth: int, choices: Choices) -> list[LatentGroup]:
        return [LatentGroup(level.width, depth, choices) for _ in range(level.groups)]

    @property
    def groups(self) -> int:
        """How many latents `encode` returns."""
        return sum(level.groups for level in self.levels)

    @property
    def size_multiple(self) -> int:
        """LR pixels per pixel of the coarsest level; 1 unless levels are coarser than LR."""
        return max(1, self.reduction // self.scale)

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) in [0, 1] -> the picture at temperature 0, (N, 3, H, W)."""
        return self.draw(lr, 1, 0.0, Noise())[:, 0]

    def bound(self, hr: Tensor, lr: Tensor | None = None, noise: Noise | None = None) -> Bound:
        """One posterior draw and its ELBO terms.

        Args:
            hr: (N, 3, H, W) in [0, 1], exactly multiples of 1 / 255.
            lr: its LR version; left out by models that start from a constant.
            noise: source of the posterior draw.
        """
        return next(self.bounds(hr, lr, noise))

    def bounds(
        self, hr: Tensor, lr: Tensor | None = None, noise: Noise | None = None, draws: int = 1
    ) -> Iterator[Bound]:
        """Several posterior draws of the same pictures, one after another.

        Args:
            hr, lr, noise: see `bound`.
            draws: how many.
        """
        guide = Guide(noise=noise or Noise())
        for draw in range(draws):
            if draw == 0 or not self.encodes_once:
                state, base = self._observe(hr, lr, guide)
            yield self._bound(hr, state, base, guide)

    def _bound(self, hr: Tensor, state: Tensor, base: Tensor, guide: Guide) -> Bound:
        h, latents = self.top_down(state, guide)
        raw = self.head(h)
        distortion = -self.likelihood.log_prob(raw, base, 2 * hr - 1)
        return Bound(distortion, [z.kl for z in latents], latents, self._picture(raw, base))

    def loss(
        self,
        hr: Tensor,
        lr: Tensor | None = None,
        *,
        beta: float = 1.0,
        free_bits: float = 0.0,
        mse_weight: float = 0.0,
        prior_weight: float = 0.0,
    ) -> dict[str, Tensor]:
        """Beta-ELBO in bits per dimension of `hr`, with optional terms.

        Args:
            hr, lr: see `bound`.
            beta: weight of the rate (Higgins et al. 2017).
            free_bits: bits per dimension each group may use at no cost (Kingma et al. 2016).
            mse_weight: weight of the reconstruction's mean squared error, pictures in [0, 1].
            prior_weight: weight of the error of the picture decoded from the prior at
                temperature 0, on half the batch (Sohn et al. 2015); it keeps the prior path as
                good as a regression network. The unit is bits: 0.5 log2 of the squared error.
        """
        guide = Guide()
        state, base = self._observe(hr, lr, guide)
        bound = self._bound(hr, state, base, guide)
        distortion = bits_per_dim(bound.distortion, hr).mean()
        rates = torch.stack([bits_per_dim(rate, hr).mean() for rate in bound.rates])
        objective = distortion + beta * rates.clamp_min(free_bits).sum()
        terms = {
            "bits_per_dim": (distortion + rates.sum()).detach(),
            "distortion": distortion.detach(),
            "rate": rates.sum().detach(),
        }
        if mse_weight:
            error = F.mse_loss(bound.mean, hr)
            objective = objective + mse_weight * error
            terms["mse"] = error.detach()
        if prior_weight:
            half = (hr.shape[0] + 1) // 2
            error = F.mse_loss(
                self._decoded(state[:half], base[:half], self._guide(0.0)), hr[:half]
            )
            objective = objective + prior_weight * 0.5 * error.log2()
            terms["psnr_prior"] = -10 * error.detach().log10()
        return {"loss": objective, **terms}

    def draw(self, lr: Tensor, num_samples: int, temperature: float, noise: Noise) -> Tensor:
        """LR (N, 3, h, w) -> (N, num_samples, 3, H, W); LR features are computed once.

        A model that starts from a constant sees y only through its encoder: it encodes the
        bicubic enlargement and decodes draws of that posterior, as the study did.
        """
        if self.degradation is None:
            raise ValueError("a model of LR pictures has nothing to upscale")
        guide = self._guide(temperature, noise)
        if not self.is_conditional:
            rows = quantise(enlarge(lr, self.scale, self.enlargement)).repeat_interleave(
                num_samples, dim=0
            )
            state, base = self._observe(rows, None, guide)
            return self._decoded(state, base, guide).unflatten(0, (-1, num_samples))
        state, base = self._begin(lr, None, guide)
        if num_samples > 1:
            state = state.repeat_interleave(num_samples, dim=0)
            base = base.repeat_interleave(num_samples, dim=0)
        return self._decoded(state, base, guide).unflatten(0, (-1, num_samples))

    @torch.inference_mode()
    def reconstruct(self, hr: Tensor, lr: Tensor | None = None) -> Tensor:
        """Encode a picture to its posterior means and decode it again: (N, 3, H, W)."""
        guide = self._guide(0.0)
        state, base = self._observe(hr, lr, guide)
        return self._decoded(state, base, guide).clamp(0, 1)

    @torch.inference_mode()
    def encode(
        self,
        hr: Tensor,
        lr: Tensor | None = None,
        *,
        temperature: Temperature = 1.0,
        seed: int | None = None,
        generator: torch.Generator | None = None,
    ) -> list[Tensor]:
        """HR (N, 3, H, W) and its LR version -> posterior latents, coarse to fine."""
        guide = self._guide(temperature, Noise(generator if generator is not None else seed))
        state, _ = self._observe(hr, lr, guide)
        return [latent.z for latent in [*guide.before, *self.top_down(state, guide)[1]]]

    @torch.inference_mode()
    def decode(
        self,
        latents: Sequence[Tensor],
        lr: Tensor | None = None,
        *,
        temperature: Temperature = 1.0,
        seed: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Latents, coarse to fine -> pictures (N, 3, H, W); missing ones come from the prior.

        Args:
            latents: as `encode` returns them, or only the first few.
            lr: the LR picture, unless the model starts from a constant.
            temperature: for the latents drawn here; one number, or one per level.

        Raises:
            ValueError: when there are more latents than groups, or neither latents nor `lr`.
        """
        if len(latents) > self.groups:
            raise ValueError(f"{len(latents)} latents given, the model has {self.groups} groups")
        guide = self._guide(
            temperature, Noise(generator if generator is not None else seed), latents
        )
        if lr is not None:
            state, base = self._begin(lr, None, guide)
        elif latents and not self.is_conditional:
            first = next(index for index, level in enumerate(self.levels) if level.groups)
            above = math.prod(level.factor for level in self.levels[: first + 1])
            n, _, height, width = latents[0].shape
            scale = self.reduction // above
            like = latents[0].new_zeros(n, 3, height * scale, width * scale)
            state, base = self._begin(None, like, guide)
        else:
            raise ValueError("decode needs the LR picture, or latents of an unconditional model")
        return self._decoded(state, base, guide).clamp(0, 1)

    @torch.inference_mode()
    def sample(
        self,
        num_samples: int,
        *,
        size: tuple[int, int] = (32, 32),
        temperature: Temperature = 1.0,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        """Pictures from nothing: y from p(y), rounded to 8 bits, then x from p(x | y).

        Args:
            num_samples: how many.
            size: (height, width) of the pictures.
            temperature: one number, or one per level of p(x | y) (p(y) then takes the first).
            seed, generator: what the draws come from.
            noise: where the draws come from instead, one for each latent in turn, those of p(y)
                first: to mix or interpolate the draws of several samples.

        Returns:
            (num_samples, 3, *size) in [0, 1].

        Raises:
            ModelError: when the model is conditional and has no p(y).
            ValueError: when the size is not a multiple of what the levels need.
        """
        if noise is None:
            noise = Noise(generator if generator is not None else seed)
        guide = self._guide(temperature, noise)
        state, base = self._from_nothing(num_samples, size, guide)
        return self._decoded(state, base, guide).clamp(0, 1)

    def _from_nothing(
        self, num_samples: int, size: tuple[int, int], guide: Guide
    ) -> tuple[Tensor, Tensor]:
        """What `_begin` gives, for LR pictures drawn from p(y) where the model needs them."""
        height, width = size
        step = self.scale if self.is_conditional else self.reduction
        if height % step or width % step:
            raise ValueError(f"size must be a multiple of {step}, not {size}")
        if not self.is_conditional:
            like = torch.zeros(num_samples, 3, height, width, device=self.device)
            return self._begin(None, like, guide)
        if self.lr_prior is None:
            raise ModelError("this model has no p(y) to draw LR pictures from: give it one")
        lr = self.lr_prior.sample(
            num_samples,
            size=(height // step, width // step),
            temperature=guide.temperature(0),
            noise=guide.noise,
        )
        return self._begin(quantise(lr), None, guide)

    def with_lr_prior(self, prior: "GenerativeModel") -> Self:
        """The same model with `prior` as its p(y); weights are shared, not copied.

        Raises:
            ModelError: when `prior` is no unconditional model of the LR picture itself, or this
                model has a p(y) of its own.
        """
        if "lr_prior" not in self.config:
            raise ModelError(f"a {type(self).__name__} has its own p(y)")
        if prior.is_conditional or prior.scale != 1:
            raise ModelError("a model of LR pictures has scale 1 and starts from a constant")
        joined = type(self)(**{**self.config, "lr_prior": prior.full_config})
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("lr_prior.")}
        state |= {f"lr_prior.{key}": value for key, value in prior.state_dict().items()}
        joined.load_state_dict(state, assign=True)
        return joined.train(self.training)

    def _checked_base(self, config: dict[str, Any]) -> SuperResolutionModel:
        network = _nested(config)
        if isinstance(network, GenerativeModel):
            raise ValueError("base_model: a deterministic model is needed")
        if (network.scale, network.degradation) != (self.scale, self.degradation):
            raise ValueError("base_model: a network of the same scale and degradation is needed")
        return network.requires_grad_(False)

    def _begin(self, lr: Tensor | None, hr: Tensor | None, guide: Guide) -> tuple[Tensor, Tensor]:
        """First top-down state, and the base picture in [-1, 1] that means are offsets from."""
        picture = self._enlarged(lr) if lr is not None and self.scale > 1 else hr
        if picture is None:
            raise ValueError("this model needs an LR picture")
        n, _, height, width = picture.shape
        state = self.start(lr, (n, height // self.reduction, width // self.reduction))
        return state, 2 * picture - 1 if self.is_conditional else torch.zeros_like(picture)

    def _observe(self, hr: Tensor, lr: Tensor | None, guide: Guide) -> tuple[Tensor, Tensor]:
        """What `_begin` gives; from now on the guide's posteriors see `hr`."""
        state, base = self._begin(lr, hr, guide)
        guide.evidence = self._evidence(hr, base, guide)
        return state, base

    def _enlarged(self, lr: Tensor) -> Tensor:
        return (
            self.base_model(lr)
            if self.base_model is not None
            else enlarge(lr, self.scale, self.enlargement)
        )

    def _evidence(self, hr: Tensor, base: Tensor, guide: Guide) -> dict[int, Evidence]:
        x = 2 * hr - 1
        seen = torch.cat([x, x - base], dim=1) if self.is_conditional else x
        return self.bottom_up(seen, guide)

    def _decoded(self, state: Tensor, base: Tensor, guide: Guide) -> Tensor:
        h, _ = self.top_down(state, guide)
        return self._picture(self.head(h), base)

    def _picture(self, raw: Tensor, base: Tensor) -> Tensor:
        return (self.likelihood.mean(raw, base) + 1) / 2

    def _guide(
        self,
        temperature: Temperature,
        noise: Noise | None = None,
        latents: Sequence[Tensor] = (),
    ) -> Guide:
        levels = len(self.levels)
        if isinstance(temperature, int | float):
            temperatures: Sequence[float] = [float(temperature)] * levels
        else:
            temperatures = list(temperature)
        if len(temperatures) != levels:
            raise ValueError(f"give one temperature, or one for each of the {levels} levels")
        return Guide(latents=latents, temperatures=temperatures, noise=noise or Noise())


def _amplify_errors(bottom_up: BottomUp, stem: int, likelihood: Likelihood) -> None:
    """Let the posteriors hear the errors of the base picture as loudly as the picture itself.

    A trained network leaves errors so small that young posteriors would not notice them.
    """
    first = bottom_up.stem[1]
    assert isinstance(first, nn.Conv2d)
    with torch.no_grad():
        first.weight[:, 3 * stem**2 :] *= math.exp(-likelihood.initial_log_scale)


def _squashed(likelihood: Likelihood) -> bool:
    return isinstance(likelihood, FixedGaussian) and likelihood.squash


def _nested(config: dict[str, Any]) -> SuperResolutionModel:
    config = dict(config)
    name, module = config.pop("model_class", None), config.pop("model_module", None)
    return find(name, module)(**config)


def _prior_of_lr(config: dict[str, Any]) -> GenerativeModel:
    prior = _nested(config)
    if not isinstance(prior, GenerativeModel):
        raise ValueError(f"lr_prior: a {type(prior).__name__} is no generative model")
    return prior
