"""Walks through latent space: what each level of a hierarchy controls, and from sample to sample.

A sample is a function of its standard normal draws, one for each latent in turn, coarse to fine.
So nothing here touches a latent: mixing or interpolating the *draws* of several samples gives
images that the model could have drawn, whatever its hierarchy looks like.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hvae_sr import checks
from hvae_sr.models.latent import GenerativeModel
from hvae_sr.nn.images import check_images
from hvae_sr.nn.noise import LARGEST_SEED, Noise
from hvae_sr.nn.resize import reflect


class KeptNoise(Noise):
    """Draws for a sample and others that keep its first ones: the sample is first of the batch.

    Args:
        seed: of the sample, at least 0.
        kept: how many draws the others share with it; the rest is their own, and the same
            however many are kept.
    """

    def __init__(self, seed: int, kept: int):
        super().__init__(seed)
        # Of a negative number, which names no sample: torch keeps it modulo 2**32.
        self.others = Noise(torch.Generator().manual_seed(~seed))
        self.kept = kept
        self.drawn = 0

    def __call__(self, like: Tensor) -> Tensor:
        sample, others = super().__call__(like[:1]), self.others(like[1:])
        self.drawn += 1
        return sample.expand_as(like) if self.drawn <= self.kept else torch.cat([sample, others])


class ArcNoise(Noise):
    """Draws on the arc from one sample's to another's, standard normal at each of its points.

    Two independent draws are combined as cos(angle) a + sin(angle) b, the angle going from 0 to
    90 degrees: the variance stays 1, where a straight line would halve it on its way.

    Args:
        start, end: seeds of the two samples.
        positions: one for each image of the batch, from 0 (start) to 1 (end).

    Raises:
        ValueError: when both seeds are the same, whose draws are not independent.
    """

    def __init__(self, start: int, end: int, positions: Sequence[float]):
        if start == end:
            raise ValueError("the way between two samples needs two different seeds")
        super().__init__(start)
        self.end = Noise(end)
        self.angles = [position * math.pi / 2 for position in positions]

    def __call__(self, like: Tensor) -> Tensor:
        def weights(of: Sequence[float]) -> Tensor:
            return like.new_tensor(of).view(-1, 1, 1, 1)

        start, end = super().__call__(like[:1]), self.end(like[:1])
        cosines = weights([math.cos(angle) for angle in self.angles])
        sines = weights([math.sin(angle) for angle in self.angles])
        return cosines * start + sines * end


@dataclass(frozen=True)
class Stage:
    """How far a sample is kept.

    Args:
        draws: how many of its draws, from the coarsest.
        kept: what that is, in words.
    """

    draws: int
    kept: str


def stages(
    model: GenerativeModel, size: tuple[int, int] = (32, 32), *, given: bool = False
) -> list[Stage]:
    """From a sample of which nothing is kept to one of which only the finest level is redrawn.

    Args:
        model: any generative model.
        size: (height, width) of its images x, in pixels.
        given: whether the LR image y is given rather than drawn from p(y).
    """
    height, width = checks.pair_of_sides("size", size, "(height, width)")
    found = [Stage(0, "nothing")]
    own = sum(level.groups for level in model.levels)
    prior = model.lr_prior if model.is_conditional and not given else None
    if prior is not None:
        for draws, latents in _levels(prior, height // model.scale, width // model.scale):
            found.append(Stage(draws, f"y down to its {latents} latents"))
        found[-1] = Stage(found[-1].draws, "y")
    elif model.groups > own:  # srVAE describes a given y by latents too
        found.append(Stage(model.groups - own, "the latents of y"))
    known = "y, and x" if prior is not None else "x"
    before = found[-1].draws
    for draws, latents in _levels(model, height, width):
        found.append(Stage(before + draws, f"{known} down to its {latents} latents"))
    return found[:-1]


def _levels(model: GenerativeModel, height: int, width: int) -> Iterator[tuple[int, str]]:
    """After each level with latents: how many draws there were, and the size of the latest."""
    draws, finer = 0, 1
    for level in model.levels:
        finer *= level.factor
        draws += level.groups
        if level.groups:
            yield draws, f"{width * finer // model.reduction}x{height * finer // model.reduction}"


@torch.inference_mode()
def redraw(
    model: GenerativeModel,
    seed: int,
    *,
    others: int,
    size: tuple[int, int] = (32, 32),
    lr: Tensor | None = None,
    temperature: float = 1.0,
) -> Iterator[tuple[Stage, Tensor]]:
    """Keep the coarse latents of a sample and redraw the finer ones, level by level.

    The others draw the same anew at every stage, so from one stage to the next each of them
    changes only by the level that is kept as well.

    Args:
        model: a model that samples, or a conditional one with `lr`.
        seed: of the sample, the one that `model.sample(1, seed=seed)` gives.
        others: how many share what is kept of the sample.
        size: (height, width) of the images in pixels, unless `lr` says it.
        lr: an LR image y (1, 3, h, w) in [0, 1], of which the samples are enlargements; None draws
            y too.
        temperature: see `GenerativeModel.sample`.

    Yields:
        each stage, with the sample and its others: (1 + others, 3, H, W) in [0, 1].

    Raises:
        ModelError: when the model has no p(y) to draw y from.
        ValueError: when `lr` is given to an unconditional model.
    """
    checks.whole("others", others, 0, checks.MOST_SAMPLES)
    if lr is not None:
        check_images("lr", lr)
        if not model.is_conditional:
            raise ValueError("this model is unconditional: leave the LR image out")
        height, width = lr.shape[-2:]
        size = (height * model.scale, width * model.scale)
        lr = reflect(lr, (0, -width % model.size_multiple, 0, -height % model.size_multiple))
    for stage in stages(model, size, given=lr is not None):
        noise = KeptNoise(seed, stage.draws)
        if lr is None:
            images = model.sample(1 + others, size=size, temperature=temperature, noise=noise)
        else:
            padded = model.draw(lr, 1 + others, temperature, noise)[0].clamp(0, 1)
            images = padded[..., : size[0], : size[1]]
        yield stage, images


@torch.inference_mode()
def interpolate(
    model: GenerativeModel,
    start: int,
    end: int,
    *,
    steps: int,
    size: tuple[int, int] = (32, 32),
    temperature: float = 1.0,
) -> Tensor:
    """The way from one sample to another, each step of it a sample too.

    Args:
        model: a model that samples.
        start, end: seeds of the two samples, those that `model.sample(1, seed=seed)` gives.
        steps: images of the strip, both samples among them; at least 2.
        size, temperature: see `GenerativeModel.sample`.

    Returns:
        (steps, 3, *size) in [0, 1].

    Raises:
        ModelError: when the model has no p(y) to draw y from.
        ValueError: for fewer than 2 steps, or when both seeds are the same.
    """
    for argument, seed in (("start", start), ("end", end)):
        checks.whole(argument, seed, 0, LARGEST_SEED)
    checks.whole("steps", steps, 2, checks.MOST_SAMPLES)
    noise = ArcNoise(start, end, [step / (steps - 1) for step in range(steps)])
    return model.sample(steps, size=size, temperature=temperature, noise=noise)
