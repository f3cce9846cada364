"""What users hand to an `Upscaler`, and outputs of the same kind: Pillow images or tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from hvae_sr.imaging.deep import DEEPEST, DeepImage
from hvae_sr.imaging.pixels import Rest, enlarged, join_deep, split
from hvae_sr.nn.resize import ENLARGEMENTS

#: outputs in the form of the input; tensors are (N, S, 3, H, W)
Images = list[Image.Image] | list[DeepImage] | list[np.ndarray] | Tensor
Single = Image.Image | DeepImage | np.ndarray | Tensor
NEAR = 1 / 512  # by which values may leave [0, 1], as resampling makes them


@dataclass(frozen=True)
class InputImage:
    """An image to upscale, in the form that networks see, and the way back to its own form.

    Args:
        lr: (N, 3, h, w) in [0, 1].
        rest: of an image, what is not colour; None for tensors.
        ndim: of an array, whose outputs are arrays; None for what is none.
    """

    lr: Tensor
    rest: Rest | None
    ndim: int | None = None

    @classmethod
    def of(cls, image: Any, device: torch.device) -> Self:
        """An image of any kind that `Upscaler` takes, on a device.

        Raises:
            ValueError: for tensors and arrays of another shape or type, and for values outside
                [0, 1], naming their range.
            TypeError: for what is not an image.
        """
        if isinstance(image, np.ndarray):
            lr, rest = split(_of_array(image))
            return cls(lr.to(device), rest, image.ndim)
        if isinstance(image, Image.Image | DeepImage):
            lr, rest = split(image)
            return cls(lr.to(device), rest)
        if not isinstance(image, Tensor):
            raise TypeError(
                f"expected a Pillow image, an array or a tensor, got {type(image).__name__}"
            )
        if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
            raise ValueError(f"expected images (N, 3, h, w), got shape {tuple(image.shape)}")
        if not image.is_floating_point():
            raise ValueError(f"expected floats in [0, 1], got {image.dtype}: divide by 255 first")
        low, high = (float(value) for value in image.aminmax())
        if low < -NEAR or high > 1 + NEAR:  # NaN is refused where the network's outputs are
            raise ValueError(
                f"expected values in [0, 1], got {low:.6g} to {high:.6g}: scale them first"
            )
        return cls(image.to(device, torch.float32), None)

    @property
    def levels(self) -> int:
        """The largest value of a file of the image's depth: 255 or 65535."""
        return DEEPEST if self.rest is not None and self.rest.deep else 255

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), upright."""
        return self.lr.shape[-1], self.lr.shape[-2]

    def several(self, outputs: Tensor) -> Images:
        """Outputs (N, S, 3, H, W) in the form of the input; they keep its alpha and metadata."""
        if self.rest is None:
            return outputs
        return cast("Images", [self._image(output) for output in outputs[0]])

    def single(self, output: Tensor) -> Single:
        """One output (N, 3, H, W) in the form of the input."""
        return output if self.rest is None else self._image(output[0])

    def fitted(self, output: Tensor, size: tuple[int, int]) -> Single:
        """`single`, resampled to (width, height).

        By Lanczos resampling of Pillow images, whose alpha takes part, and by antialiased bicubic
        interpolation of tensors.
        """
        if self.rest is not None:
            whole = self._joined(output[0])
            return self._formed(whole.resize(size, Image.Resampling.LANCZOS))
        if output.shape[-2:] == size[::-1]:
            return output
        return F.interpolate(output, size=size[::-1], **ENLARGEMENTS["bicubic"]).clamp(0, 1)

    def gathered(self, fitted: Sequence[Any]) -> Images:
        """What `fitted` gave for each output, in the form that `several` gives."""
        return torch.stack(list(fitted), dim=1) if self.rest is None else list(fitted)

    def mean(self, images: Images) -> Single:
        """The mean over what `gathered` gave."""
        if isinstance(images, Tensor):
            return images.mean(dim=1)
        found = [_of_array(each) if isinstance(each, np.ndarray) else each for each in images]
        parts = [split(image) for image in found]
        return self._formed(
            join_deep(torch.cat([rgb for rgb, _ in parts]).mean(dim=0), parts[0][1])
        )

    def _image(self, output: Tensor) -> Single:
        """(3, H, W), a whole multiple of the input's size -> an image of the input's form."""
        return self._formed(self._joined(output))

    def _joined(self, output: Tensor) -> Image.Image | DeepImage:
        assert self.rest is not None
        return join_deep(output, enlarged(self.rest, output.shape[-1] // self.lr.shape[-1]))

    def _formed(self, image: Image.Image | DeepImage) -> Single:
        if self.ndim is None:
            return image
        array = image.array if isinstance(image, DeepImage) else np.asarray(image)
        return array[..., None] if array.ndim < self.ndim else array


def _of_array(array: np.ndarray) -> Image.Image | DeepImage:
    """(H, W) or (H, W, 1 to 4) of uint8 or uint16: grey, grey and alpha, RGB, RGB and alpha."""
    whole = array[..., None] if array.ndim == 2 else array
    if array.dtype not in (np.uint8, np.uint16) or whole.ndim != 3 or not 1 <= whole.shape[2] <= 4:
        raise ValueError(
            f"expected an array (H, W) or (H, W, 1 to 4) of uint8 or uint16, got "
            f"{array.shape} of {array.dtype}"
        )
    if array.dtype == np.uint16:
        return DeepImage(np.ascontiguousarray(whole))
    return Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else np.ascontiguousarray(whole))
