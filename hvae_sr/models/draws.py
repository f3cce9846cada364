"""What a latent variable model draws: images given y, images from p(x), latents of an image."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hvae_sr import checks
from hvae_sr.errors import ModelError
from hvae_sr.models.passes import Features, LatentVariableModel
from hvae_sr.nn.latents import Decode, LatentSource, Temperature
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import enlarge, quantise


class Drawing(LatentVariableModel, registered=False):
    """Drawing images and latents, encoding and decoding."""

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) in [0, 1] -> the image at temperature 0, (N, 3, H, W)."""
        return self.draw(lr, 1, 0.0, Noise())[:, 0]

    def draw(
        self,
        lr: Tensor,
        num_samples: int,
        temperature: float,
        noise: Noise,
        decode: Decode = "mean",
    ) -> Tensor:
        """LR (N, 3, h, w) -> (N, num_samples, 3, H, W); LR features are computed once.

        A model that starts from a constant sees y only through its encoder: it encodes the
        enlargement and decodes draws of that posterior, as the study did.

        Args:
            decode: `mean`: E[x | z, y] of the drawn z; `sample`: x is drawn from p(x | z, y) too,
                and only that, at temperature 1, is a sample of p(x | y).
        """
        source = self._source(temperature, noise, num_samples=num_samples, decode=decode)
        image = self.image(self._pass(lr, source), source)
        return image.unflatten(0, (-1, num_samples))

    def draw_with_variance(
        self,
        lr: Tensor,
        num_samples: int,
        temperature: float,
        noise: Noise,
        decode: Decode = "mean",
    ) -> Tensor:
        """`draw`, then mean and variance of the likelihood: (N, num_samples, 9, H, W)."""
        source = self._source(temperature, noise, num_samples=num_samples, decode=decode)
        features = self._pass(lr, source)
        parts = [self.image(features, source), self.mean(features), self.variance(features)]
        return torch.cat(parts, dim=1).unflatten(0, (-1, num_samples))

    def _pass(self, lr: Tensor, source: LatentSource) -> Features:
        if self.degradation is None:
            raise ValueError("a model of LR images has nothing to upscale")
        activations = None
        if not self.is_conditional:
            activations = self.bottom_up(quantise(enlarge(lr, self.scale, self.enlargement)))
        return self.top_down(lr, activations, source)[0]

    @torch.inference_mode()
    def reconstruct(self, hr: Tensor, lr: Tensor | None = None) -> Tensor:
        """Encode an image to its posterior means and decode it again: (N, 3, H, W)."""
        self.check_pair(hr, lr)
        features, _ = self.top_down(lr, self.bottom_up(hr, lr), self._source(0.0))
        return self.mean(features).clamp(0, 1)

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
        self.check_pair(hr, lr)
        source = self._source(temperature, Noise(generator if generator is not None else seed))
        _, latents = self.top_down(lr, self.bottom_up(hr, lr), source)
        return [latent.z for latent in latents]

    @torch.inference_mode()
    def decode(
        self,
        latents: Sequence[Tensor],
        lr: Tensor | None = None,
        *,
        temperature: Temperature = 1.0,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        decode: Decode = "mean",
    ) -> Tensor:
        """Latents, coarse to fine -> images (N, 3, H, W); missing ones come from the prior.

        Args:
            latents: as `encode` returns them, or only the first few.
            lr: the LR image, unless the model starts from a constant.
            temperature: for the latents drawn here; one number, or one per level.
            decode: see `draw`.

        Raises:
            ValueError: when there are more latents than groups, or neither latents nor `lr`.
        """
        if len(latents) > self.groups:
            raise ValueError(f"{len(latents)} latents given, the model has {self.groups} groups")
        shape = self._shape_of(latents) if lr is None and not self.is_conditional else None
        if lr is None and shape is None:
            raise ValueError("decode needs the LR image, or latents of an unconditional model")
        noise = Noise(generator if generator is not None else seed)
        source = self._source(temperature, noise, given=latents, shape=shape, decode=decode)
        features, _ = self.top_down(lr, None, source)
        return self.image(features, source).clamp(0, 1)

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
        decode: Decode = "mean",
    ) -> Tensor:
        """Unconditional samples: y from p(y), rounded to 8 bits, then x from p(x | y).

        Args:
            num_samples: how many.
            size: (height, width) of the images.
            temperature: one number, or one per level of p(x | y) (p(y) then takes the first).
            seed, generator: what the draws come from.
            noise: where the draws come from instead, one for each latent in turn, those of p(y)
                first: to mix or interpolate the draws of several samples.
            decode: `mean` decodes drawn latents to their expected images, y too; `sample` draws
                both images from their likelihoods, and only that, at temperature 1, is a sample
                of p(x).

        Returns:
            (num_samples, 3, *size) in [0, 1].

        Raises:
            ModelError: when the model is conditional and has no p(y).
            ValueError: when the size is not a multiple of what the levels need.
        """
        if noise is None:
            noise = Noise(generator if generator is not None else seed)
        checks.whole("num_samples", num_samples, 1, checks.MOST_SAMPLES)
        height, width = checks.pair_of_sides("size", size, "(height, width)")
        source = self._source(temperature, noise, shape=(num_samples, height, width), decode=decode)
        lr = None
        step = self.scale * self.size_multiple if self.is_conditional else self.reduction
        if height % step or width % step:
            raise ValueError(f"size must be a multiple of {step}, not {size}")
        if self.is_conditional and not self.is_joint:
            if self.lr_prior is None:
                raise ModelError("this model has no p(y) to draw LR images from: give it one")
            lr = quantise(
                self.lr_prior.sample(
                    num_samples,
                    size=(height // self.scale, width // self.scale),
                    temperature=source.temperature_at(0),
                    noise=noise,
                    decode=decode,
                )
            )
        features, _ = self.top_down(lr, None, source)
        return self.image(features, source).clamp(0, 1)

    def _shape_of(self, latents: Sequence[Tensor]) -> tuple[int, int, int] | None:
        """(N, H, W) of the images that the first of the latents belongs to, if there is one."""
        if not latents:
            return None
        first = next(index for index, level in enumerate(self.levels) if level.groups)
        finer = math.prod(level.factor for level in self.levels[: first + 1])
        n, _, height, width = latents[0].shape
        scale = self.reduction // finer
        return n, height * scale, width * scale

    def _source(
        self,
        temperature: Temperature,
        noise: Noise | None = None,
        *,
        given: Sequence[Tensor] = (),
        num_samples: int = 1,
        shape: tuple[int, int, int] | None = None,
        decode: Decode = "mean",
    ) -> LatentSource:
        checks.whole("num_samples", num_samples, 1, checks.MOST_SAMPLES)
        levels = len(self.levels)
        if isinstance(temperature, Sequence) and not isinstance(temperature, str | bytes):
            if len(temperature) != levels:
                raise ValueError(f"give one temperature, or one for each of the {levels} levels")
            for of_level in temperature:
                checks.real("temperature", of_level)
        else:
            checks.real("temperature", temperature)
        return LatentSource(
            noise,
            temperature=temperature,
            given=given,
            num_samples=num_samples,
            shape=shape,
            decode=decode,
        )
