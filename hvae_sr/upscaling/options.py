"""How images are upscaled: the one place where its defaults live."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

import torch

from hvae_sr.nn.latents import Decode, checked_decode

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SEVERAL = 0.8  # temperature of several samples when none is given
LARGEST_SEED = 2**31


class DrawKeywords(TypedDict, total=False):
    """The fields of `UpscaleOptions` but `num_samples` as keywords; None means left out."""

    temperature: float | None
    seed: int | None
    decode: Decode | None
    consistent: bool | None
    tile: int | Literal["auto"] | None
    dtype: str | torch.dtype | None


class UpscaleKeywords(DrawKeywords, total=False):
    """The fields of `UpscaleOptions` as keywords; None means left out."""

    num_samples: int | None


@dataclass(frozen=True)
class UpscaleOptions:
    """How images are upscaled.

    Args:
        num_samples: outputs for each image.
        temperature: scale of the latent standard deviations. 0 gives the single best guess (the
            default for one output), 1 draws latents as the model knows them, 0.8 (the default for
            several) gives plausible images with less noise.
        seed: makes the draws repeatable on one machine; left out, one is drawn. Noise belongs to
            places of the image, so that a seed names the same output whatever the tiles.
        decode: `mean` gives the expected image of the drawn latents; `sample` draws the image from
            the likelihood too, and only that, at temperature 1, is a sample of p(x | y). At
            temperature 0 both are the single best guess.
        consistent: project onto the images whose LR version is the input.
        tile: LR pixels per side of a tile, or `auto`: chosen from the memory there is. It is
            halved and tried again when memory runs out.
        dtype: precision of the network: `float32`, or `bfloat16` or `float16` (by autocast). A
            tile that overflows is redone in float32, with a warning.

    Raises:
        ValueError: for values out of range.
    """

    num_samples: int = 1
    temperature: float | None = None
    seed: int | None = None
    decode: Decode = "mean"
    consistent: bool = False
    tile: int | Literal["auto"] = "auto"
    dtype: str | torch.dtype = "float32"

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {self.num_samples}")
        if self.temperature is not None and not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
        checked_decode(self.decode)
        if self.tile != "auto" and self.tile < 1:
            raise ValueError(f"tile must be at least 1 pixel, got {self.tile}")
        if self.dtype not in DTYPES and self.dtype not in DTYPES.values():
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")

    def changed(self, changes: UpscaleKeywords) -> "UpscaleOptions":
        """The same with other fields; a change to None leaves a field as it is."""
        given: dict[str, Any] = {k: value for k, value in changes.items() if value is not None}
        return replace(self, **given)

    @property
    def used_temperature(self) -> float:
        """The temperature that draws are made at."""
        if self.temperature is not None:
            return float(self.temperature)
        return 0.0 if self.num_samples == 1 else SEVERAL

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype] if isinstance(self.dtype, str) else self.dtype

    def seeded(self, generator: torch.Generator | None = None) -> int:
        """The seed of the draws: the given one, or one drawn from a generator.

        At temperature 0 nothing is drawn: the seed is 0, and no generator moves.

        Raises:
            ValueError: for a seed and a generator together.
        """
        if self.seed is not None and generator is not None:
            raise ValueError("give a seed or a generator, not both")
        if self.seed is not None:
            return self.seed
        if self.used_temperature == 0:
            return 0
        device = generator.device if generator is not None else None
        return int(torch.randint(LARGEST_SEED, (), generator=generator, device=device))
