"""Any model on images of any size: tiles, memory, seeds, precision, consistency, transparency."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hvae_sr.errors import ImageError
from hvae_sr.imaging.deep import DeepImage
from hvae_sr.nn.resize import quantise
from hvae_sr.upscaling.inputs import Images, InputImage
from hvae_sr.upscaling.network import run_in_tiles
from hvae_sr.upscaling.options import UpscaleKeywords, UpscaleOptions
from hvae_sr.upscaling.sizes import fitted, passes
from hvae_sr.upscaling.tiling import Progress

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel

Several = TypeVar("Several")
Single = TypeVar("Single")
Form = TypeVar("Form", Image.Image, DeepImage, np.ndarray)
IDENTICAL = 1e-10  # a squared error that counts as 100 dB


@dataclass(frozen=True)
class UpscaleOutput(Generic[Several, Single]):
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
            draws, and None where fewer than two are made. None for a deterministic model, and
            where outputs are fitted into a `size`.
        lr_psnr: (N, S) in dB: each output, rounded to the depth of the input (8 bits, or 16) and
            shrunk without rounding, against the input. 45 dB and more means a possible HR version
            of it; 100 is the most. None where the degradation is not linear and where outputs are
            fitted into a `size`: nothing can be compared then.
        temperature: of the draws.
        seed: of the draws; with it they can be repeated.
    """

    images: Several
    mean: Single
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
        progress: Progress | None = None,
    ):
        self.model = model
        self.options = options or UpscaleOptions()
        self.progress = progress

    @overload
    def __call__(
        self,
        image: Form,
        *,
        generator: torch.Generator | None = None,
        **changes: Unpack[UpscaleKeywords],
    ) -> UpscaleOutput[list[Form], Form]: ...

    @overload
    def __call__(
        self,
        image: Tensor,
        *,
        generator: torch.Generator | None = None,
        **changes: Unpack[UpscaleKeywords],
    ) -> UpscaleOutput[Tensor, Tensor]: ...

    @torch.inference_mode()
    def __call__(
        self,
        image: Image.Image | DeepImage | np.ndarray | Tensor,
        *,
        generator: torch.Generator | None = None,
        **changes: Unpack[UpscaleKeywords],
    ) -> UpscaleOutput[Any, Any]:
        """Enlarge an image, and say what the outputs have in common.

        Args:
            image: a Pillow image of any mode and size, a `DeepImage`, an array (H, W) or
                (H, W, 1 to 4) of uint8 or uint16, or a tensor (N, 3, h, w) in [0, 1].
            generator: a `torch.Generator` to draw the seed from; not together with `seed`.
            changes: fields of `UpscaleOptions`.

        Raises:
            ValueError: for arguments and values out of range, several outputs asked of a
                deterministic model, or consistency with a degradation that is not linear.
            ImageError: when not even the smallest tile fits in memory, or three passes of the model
                do not reach the `size`.
            ModelError: when the network gives values that are not finite.
        """
        options = self.options.changed(changes).with_seed(generator)
        source = InputImage.of(image, self.model.device)
        if options.size is None:
            outputs, std = self._outputs_and_std(source.lr, options, source.levels)
            images, mean = source.several(outputs), source.single(outputs.mean(dim=1))
            lr_psnr = self._lr_psnr(outputs, source.lr, source.levels)
        else:
            images, std, lr_psnr = self._fitted(source, options, options.size), None, None
            mean = source.mean(images)
        assert options.seed is not None
        return UpscaleOutput(images, mean, std, lr_psnr, options.used_temperature, options.seed)

    @overload
    def images(
        self,
        image: Form,
        *,
        generator: torch.Generator | None = None,
        **changes: Unpack[UpscaleKeywords],
    ) -> list[Form]: ...

    @overload
    def images(
        self,
        image: Tensor,
        *,
        generator: torch.Generator | None = None,
        **changes: Unpack[UpscaleKeywords],
    ) -> Tensor: ...

    @torch.inference_mode()
    def images(
        self,
        image: Image.Image | DeepImage | np.ndarray | Tensor,
        *,
        generator: torch.Generator | None = None,
        **changes: Unpack[UpscaleKeywords],
    ) -> Any:
        """The `images` of a call alone, without the work that the other fields take."""
        options = self.options.changed(changes).with_seed(generator)
        source = InputImage.of(image, self.model.device)
        if options.size is not None:
            return self._fitted(source, options, options.size)
        return source.several(self._outputs(source.lr, options, source.levels))

    def _fitted(self, source: InputImage, options: UpscaleOptions, size: tuple[int, int]) -> Images:
        """Outputs after as many passes of the model as the size takes, then shrunk to fit it.

        One sample after the other takes the further passes, so that memory holds one at its
        largest.
        """
        target = fitted(*source.size, size)
        needed = passes(*source.size, target, self.model.scale)
        if needed == 0 and options.num_samples > 1:
            raise ImageError(
                f"the image is {source.size[0]}x{source.size[1]}, no smaller than "
                f"{target[0]}x{target[1]}: nothing is left to draw, ask for one sample"
            )
        levels = source.levels
        outputs = self._outputs(source.lr, options, levels) if needed else source.lr.unsqueeze(1)
        alone = replace(options, num_samples=1, temperature=options.used_temperature)
        finished = []
        for output in outputs.unbind(dim=1):
            for _ in range(needed - 1):
                output = self._outputs(output, alone, levels)[:, 0]
            finished.append(source.fitted(output, target))
        return source.gathered(finished)

    def _lr_psnr(self, outputs: Tensor, lr: Tensor, levels: int) -> Tensor | None:
        """(N, S, 3, H, W) against its LR image (N, 3, h, w) -> (N, S) in dB."""
        degradation = self.model.degradation
        if degradation is None or not degradation.can_project:
            return None
        residuals = [degradation.residual(quantise(s, levels), lr) for s in outputs.unbind(dim=1)]
        errors = torch.stack([r.square().mean(dim=(1, 2, 3)) for r in residuals], dim=1)
        return -10 * errors.clamp_min(IDENTICAL).log10()

    def _outputs_and_std(
        self, lr: Tensor, options: UpscaleOptions, levels: int
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs (N, S, 3, H, W) and what `UpscaleOutput.std` says of them."""
        if not self.model.is_stochastic:
            return self._outputs(lr, options, levels), None
        if not options.consistent:
            draw = self.model.draw_with_variance
            parts = run_in_tiles(self.model, lr, options, draw, 9, self.progress)
            outputs, means, variances = parts.split(3, dim=2)
            square = options.used_temperature**2 or 1.0
            spread = means.var(dim=1, correction=int(options.num_samples > 1))
            std = (spread + square * variances.mean(dim=1)).sqrt()
            return outputs.clamp(0, 1), std
        outputs = self._outputs(lr, options, levels)
        if options.num_samples == 1 or options.used_temperature == 0:
            return outputs, None
        draws = outputs
        if options.decode == "mean":
            draws = self._outputs(lr, replace(options, decode="sample"), levels)
        return outputs, draws.std(dim=1)

    def _outputs(self, lr: Tensor, options: UpscaleOptions, levels: int) -> Tensor:
        """LR (N, 3, h, w) -> (N, S, 3, H, W) in [0, 1], projected where that is asked for.

        Args:
            levels: the largest value of a file of the image's depth: 255 or 65535.
        """
        degradation = self.model.degradation
        if options.consistent and degradation is not None:
            degradation.check_projection()
        outputs = run_in_tiles(self.model, lr, options, self.model.draw, 3, self.progress)
        outputs = outputs.clamp_(0, 1)
        if not options.consistent:
            return outputs
        assert degradation is not None
        inputs = lr.repeat_interleave(options.num_samples, dim=0)
        flat = degradation.project(outputs.flatten(0, 1), inputs, levels=levels)
        return flat.unflatten(0, (-1, options.num_samples))
