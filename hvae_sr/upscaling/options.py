"""How images are upscaled: the one place where the defaults live."""

from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict

import torch

from hvae_sr import checks
from hvae_sr.nn.latents import Decode, checked_decode
from hvae_sr.nn.noise import LARGEST_SEED

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SEVERAL = 0.8  # temperature of several samples when none is given
DRAWN_SEEDS = 2**31  # seeds that are drawn lie below, so that they are easy to write down


class DrawKeywords(TypedDict, total=False):
    """Fields of `UpscaleOptions` as keywords of `model.upscale`; None means left out."""

    temperature: float | None
    seed: int | None
    decode: Decode | None
    consistent: bool | None
    tile: int | Literal["auto"] | None
    dtype: str | torch.dtype | None
    size: tuple[int, int] | None


class UpscaleKeywords(DrawKeywords, total=False):
    """All fields of `UpscaleOptions` as keywords; None means left out."""

    num_samples: int | None
    quality: int | None


@dataclass(frozen=True)
class UpscaleOptions:
    """How images, folders of them and movies are upscaled and small images restored.

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
            tile that overflows is redone in float32, with a warning. A model whose weights are in
            half precision (`model.half()`) computes in theirs.
        size: (width, height) in pixels to fit into, keeping the aspect ratio. The model runs until
            the output is at least that large, at most three times, then it is shrunk. Left out,
            outputs are `scale` times as large as the image.
        quality: 1 to 100, of outputs saved in a lossy format; see `save_image`.

    Raises:
        TypeError, ValueError: for values of another type, and out of range.
    """

    num_samples: int = 1
    temperature: float | None = None
    seed: int | None = None
    decode: Decode = "mean"
    consistent: bool = False
    tile: int | Literal["auto"] = "auto"
    dtype: str | torch.dtype = "float32"
    size: tuple[int, int] | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        checks.whole("num_samples", self.num_samples, 1, checks.MOST_SAMPLES)
        if self.temperature is not None:
            checks.real("temperature", self.temperature)
        if self.seed is not None:
            checks.whole("seed", self.seed, 0, LARGEST_SEED)
        checked_decode(self.decode)
        checks.flag("consistent", self.consistent)
        if not (isinstance(self.tile, str) and self.tile == "auto"):
            checks.whole("tile", self.tile, 1)
        if not isinstance(self.dtype, torch.dtype) or self.dtype not in DTYPES.values():
            checks.one_of("dtype", self.dtype, DTYPES)
        if self.size is not None:
            checks.pair_of_sides("size", self.size, "(width, height)")
        if self.quality is not None:
            checks.whole("quality", self.quality, 1, 100)

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

    def with_seed(self, generator: torch.Generator | None = None) -> "UpscaleOptions":
        """The same with the seed that draws are made with: the given one, or one drawn now.

        At temperature 0 nothing is drawn: the seed is 0, and no generator moves.

        Args:
            generator: to draw the seed from; left out, torch's own, which starts anew in every
                process and can be set by `torch.manual_seed`.

        Raises:
            ValueError: for a seed and a generator together.
        """
        if self.seed is not None and generator is not None:
            raise ValueError("give a seed or a generator, not both")
        if self.seed is not None:
            return self
        if self.used_temperature == 0:
            return replace(self, seed=0)
        device = generator.device if generator is not None else None
        drawn = torch.randint(DRAWN_SEEDS, (), generator=generator, device=device)
        return replace(self, seed=int(drawn))
