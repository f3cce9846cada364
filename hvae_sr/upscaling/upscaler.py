"""Any model on images of any size: tiles, memory, seeds, precision, consistency, transparency."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Unpack

import torch
from PIL import Image
from torch import Tensor

from hvae_sr.errors import ModelError
from hvae_sr.imaging.pixels import Rest, enlarged, join, split
from hvae_sr.nn.latents import Decode
from hvae_sr.nn.noise import Noise
from hvae_sr.nn.resize import quantise, reflect
from hvae_sr.upscaling import tiling
from hvae_sr.upscaling.noise_field import NoiseField
from hvae_sr.upscaling.options import UpscaleKeywords, UpscaleOptions

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel

Draw = Callable[[Tensor, int, float, Noise, Decode], Tensor]
IDENTICAL = 1e-10  # a squared error that counts as 100 dB


@dataclass(frozen=True)
class UpscaleOutput:
    """What an `Upscaler` makes of an image.

    Args:
        images: the outputs: Pillow images, or (N, S, 3, H, W) in [0, 1] for tensors.
        mean: their mean, which approaches the image of least squared error: a Pillow image, or
            (N, 3, H, W).
        std: per-pixel standard deviation of the model's answer, (N, 3, H, W) in units of [0, 1]:
            where it is unsure. By the law of total variance: the variance over drawn latents of the
            expected image, plus the mean of the likelihood's own variance times the temperature
            squared; at temperature 0 the likelihood's variance alone. It leaves out that values end
            at 0 and 1, see `Likelihood.variance`. With `consistent` it is estimated from projected
            draws, and None where fewer than two are made. None for a deterministic model.
        lr_psnr: (N, S) in dB: each output, rounded to 8 bits and shrunk without rounding, against
            the input. 45 dB and more means a possible HR version of it; 100 is the most. None
            where the degradation is not linear: nothing can be compared then.
        temperature: of the draws.
        seed: of the draws; with it they can be repeated.
    """

    images: list[Image.Image] | Tensor
    mean: Image.Image | Tensor
    std: Tensor | None
    lr_psnr: Tensor | None
    temperature: float
    seed: int


class Upscaler:
    """A model with its options, for images of any size in bounded memory.

    Large images are cut into tiles that overlap by what the network sees, so that the result does
    not depend on them; time grows with the pixels, memory with the tile.

    Args:
        model: whose `draw` is called.
        options: of every call; keywords of a call replace its fields.
        progress: called after each tile with the tiles done and how many there are.
    """

    def __init__(
        self,
        model: "SuperResolutionModel",
        options: UpscaleOptions | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.model = model
        self.options = options or UpscaleOptions()
        self.progress = progress

    @torch.inference_mode()
    def __call__(
        self,
        image: Image.Image | Tensor,
        *,
        generator: torch.Generator | None = None,
        **changes: Unpack[UpscaleKeywords],
    ) -> UpscaleOutput:
        """Enlarge an image `scale` times, and say what the outputs have in common.

        Args:
            image: a Pillow image of any mode and size, or a tensor (N, 3, h, w) in [0, 1].
            generator: a `torch.Generator` to draw the seed from; not together with `seed`.
            changes: fields of `UpscaleOptions`.

        Raises:
            ValueError: for arguments out of range, several outputs asked of a deterministic model,
                or consistency with a degradation that is not linear.
            PictureError: when not even the smallest tile fits in memory.
            ModelError: when the network gives values that are not finite.
        """
        options = self.options.changed(changes)
        lr, rest = self._input(image)
        seed = options.seeded(generator)
        outputs, std = self._outputs_and_std(lr, options, seed)
        mean = outputs.mean(dim=1)
        return UpscaleOutput(
            images=outputs if rest is None else self._images(outputs, rest),
            mean=mean if rest is None else self._images(mean.unsqueeze(1), rest)[0],
            std=std,
            lr_psnr=self._lr_psnr(outputs, lr),
            temperature=options.used_temperature,
            seed=seed,
        )

    @torch.inference_mode()
    def images(
        self,
        image: Image.Image | Tensor,
        *,
        generator: torch.Generator | None = None,
        **changes: Unpack[UpscaleKeywords],
    ) -> list[Image.Image] | Tensor:
        """The `images` of a call alone, without the work that the other fields take."""
        options = self.options.changed(changes)
        lr, rest = self._input(image)
        outputs = self._outputs(lr, options, options.seeded(generator))
        return outputs if rest is None else self._images(outputs, rest)

    def _images(self, outputs: Tensor, rest: Rest) -> list[Image.Image]:
        """(1, S, 3, H, W) -> Pillow images of the family that the input belongs to."""
        larger = enlarged(rest, self.model.scale)
        return [join(output, larger) for output in outputs[0]]

    def _lr_psnr(self, outputs: Tensor, lr: Tensor) -> Tensor | None:
        """(N, S, 3, H, W) against its LR image (N, 3, h, w) -> (N, S) in dB."""
        degradation = self.model.degradation
        if degradation is None or not degradation.can_project:
            return None
        residuals = [degradation.residual(quantise(s), lr) for s in outputs.unbind(dim=1)]
        errors = torch.stack([r.square().mean(dim=(1, 2, 3)) for r in residuals], dim=1)
        return -10 * errors.clamp_min(IDENTICAL).log10()

    def _input(self, image: Image.Image | Tensor) -> tuple[Tensor, Rest | None]:
        """An image as users hand it over -> LR (N, 3, h, w) on the model's device, and its rest.

        Raises:
            ValueError: for tensors of another shape or type.
            TypeError: for what is not an image.
        """
        if isinstance(image, Image.Image):
            lr, rest = split(image)
            return lr.to(self.model.device), rest
        if not isinstance(image, Tensor):
            raise TypeError(f"expected a Pillow image or a tensor, got {type(image).__name__}")
        if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
            raise ValueError(f"expected images (N, 3, h, w), got shape {tuple(image.shape)}")
        if not image.is_floating_point():
            raise ValueError(f"expected floats in [0, 1], got {image.dtype}: divide by 255 first")
        return image.to(self.model.device, torch.float32), None

    def _outputs_and_std(
        self, lr: Tensor, options: UpscaleOptions, seed: int
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs (N, S, 3, H, W) and what `UpscaleOutput.std` says of them."""
        if not self.model.is_stochastic:
            return self._outputs(lr, options, seed), None
        if not options.consistent:
            parts = self._run(lr, options, seed, self.model.draw_with_variance, channels=9)
            outputs, means, variances = parts.split(3, dim=2)
            square = options.used_temperature**2 or 1.0
            spread = means.var(dim=1, correction=int(options.num_samples > 1))
            std = (spread + square * variances.mean(dim=1)).sqrt()
            return outputs.clamp(0, 1), std
        outputs = self._outputs(lr, options, seed)
        if options.num_samples == 1 or options.used_temperature == 0:
            return outputs, None
        draws = outputs
        if options.decode == "mean":
            draws = self._outputs(lr, replace(options, decode="sample"), seed)
        return outputs, draws.std(dim=1)

    def _outputs(self, lr: Tensor, options: UpscaleOptions, seed: int) -> Tensor:
        """LR (N, 3, h, w) -> (N, S, 3, H, W) in [0, 1], projected where that is asked for."""
        degradation = self.model.degradation
        if options.consistent and degradation is not None:
            degradation.check_projection()
        outputs = self._run(lr, options, seed, self.model.draw, channels=3).clamp_(0, 1)
        if not options.consistent:
            return outputs
        assert degradation is not None
        inputs = lr.repeat_interleave(options.num_samples, dim=0)
        flat = degradation.project(outputs.flatten(0, 1), inputs)
        return flat.unflatten(0, (-1, options.num_samples))

    def _run(
        self, lr: Tensor, options: UpscaleOptions, seed: int, draw: Draw, channels: int
    ) -> Tensor:
        """LR (N, 3, h, w) -> (N, S, channels, H, W); the tile shrinks until it fits."""
        model, multiple = self.model, self.model.size_multiple
        if model.degradation is None:
            raise ValueError("a model of LR images has nothing to upscale")
        height, width = lr.shape[-2:]
        padding = (0, -width % multiple, 0, -height % multiple)
        padded = reflect(lr, padding) if any(padding) else lr
        rows = lr.shape[0] * options.num_samples
        field = NoiseField(seed, padded.shape[-2], padded.shape[-1], rows, multiple)
        outputs = tiling.upscaled(
            lambda part: self._pass(padded, part, options, field, draw),
            padded,
            scale=model.scale,
            samples=options.num_samples,
            tile=None if options.tile == "auto" else options.tile,
            multiple=multiple,
            footprint=lambda: model.footprint,
            channels=channels,
            progress=self.progress,
        )
        return outputs[..., : height * model.scale, : width * model.scale]

    def _pass(
        self,
        lr: Tensor,
        part: tiling.Part,
        options: UpscaleOptions,
        field: NoiseField,
        draw: Draw,
    ) -> Tensor:
        """One pass of the network over a part of a batch: (outputs, channels, H, W), finite."""
        tile = lr[part.pictures, :, part.vertical, part.horizontal]
        for dtype in dict.fromkeys((options.torch_dtype, torch.float32)):
            half = dtype != torch.float32  # else switch off what the caller may have switched on
            noise = field.window(part.rows, part.vertical, part.horizontal)
            with torch.autocast(lr.device.type, dtype=dtype if half else None, enabled=half):
                outputs = draw(tile, part.samples, options.used_temperature, noise, options.decode)
            if outputs.sum(dtype=torch.float32).isfinite():
                return outputs.flatten(0, 1)
            if half:
                warnings.warn(
                    f"{dtype} overflowed in a tile: it is redone in float32", stacklevel=2
                )
        raise ModelError("the network gave values that are not finite: check image and weights")
