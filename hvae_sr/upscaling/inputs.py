"""What users hand to an `Upscaler`, and outputs of the same kind: Pillow images or tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from hvae_sr.imaging.pixels import Rest, enlarged, join, split
from hvae_sr.nn.resize import ENLARGEMENTS

Images = list[Image.Image] | Tensor  # (N, S, 3, H, W)


@dataclass(frozen=True)
class InputImage:
    """An image to upscale, in the form that networks see, and the way back to its own form.

    Args:
        lr: (N, 3, h, w) in [0, 1].
        rest: of a Pillow image, what is not colour; None for tensors.
    """

    lr: Tensor
    rest: Rest | None

    @classmethod
    def of(cls, image: Any, device: torch.device) -> Self:
        """A Pillow image of any mode, or a tensor (N, 3, h, w) in [0, 1], on a device.

        Raises:
            ValueError: for tensors of another shape or type.
            TypeError: for what is not an image.
        """
        if isinstance(image, Image.Image):
            lr, rest = split(image)
            return cls(lr.to(device), rest)
        if not isinstance(image, Tensor):
            raise TypeError(f"expected a Pillow image or a tensor, got {type(image).__name__}")
        if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
            raise ValueError(f"expected images (N, 3, h, w), got shape {tuple(image.shape)}")
        if not image.is_floating_point():
            raise ValueError(f"expected floats in [0, 1], got {image.dtype}: divide by 255 first")
        return cls(image.to(device, torch.float32), None)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), upright."""
        return self.lr.shape[-1], self.lr.shape[-2]

    def several(self, outputs: Tensor) -> Images:
        """Outputs (N, S, 3, H, W) in the form of the input; they keep its alpha and metadata."""
        return outputs if self.rest is None else [self._image(output) for output in outputs[0]]

    def single(self, output: Tensor) -> Image.Image | Tensor:
        """One output (N, 3, H, W) in the form of the input."""
        return output if self.rest is None else self._image(output[0])

    def fitted(self, output: Tensor, size: tuple[int, int]) -> Image.Image | Tensor:
        """`single`, resampled to (width, height).

        By Lanczos resampling of Pillow images, whose alpha takes part, and by antialiased bicubic
        interpolation of tensors.
        """
        if self.rest is not None:
            return self._image(output[0]).resize(size, Image.Resampling.LANCZOS)
        if output.shape[-2:] == size[::-1]:
            return output
        return F.interpolate(output, size=size[::-1], **ENLARGEMENTS["bicubic"]).clamp(0, 1)

    def gathered(self, fitted: Sequence[Any]) -> Images:
        """What `fitted` gave for each output, in the form that `several` gives."""
        return torch.stack(list(fitted), dim=1) if self.rest is None else list(fitted)

    def mean(self, images: Images) -> Image.Image | Tensor:
        """The mean over what `gathered` gave."""
        if isinstance(images, Tensor):
            return images.mean(dim=1)
        parts = [split(image) for image in images]
        return join(torch.cat([rgb for rgb, _ in parts]).mean(dim=0), parts[0][1])

    def _image(self, output: Tensor) -> Image.Image:
        """(3, H, W), a whole multiple of the input's size -> the Pillow image."""
        assert self.rest is not None
        return join(output, enlarged(self.rest, output.shape[-1] // self.lr.shape[-1]))
