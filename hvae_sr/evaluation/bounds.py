"""bits/dim: the ELBO, its split into distortion and rate, the importance-weighted bound, and how
many latents carry anything."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from hvae_sr.evaluation.references import References
from hvae_sr.models.latent import (
    ACTIVITY_DRAWS,
    ELBO,
    ActiveUnits,
    GenerativeModel,
    mean_shifts,
    summed,
)
from hvae_sr.nn.distributions import bits_per_dim
from hvae_sr.nn.noise import WORD, Noise, seeded

CROP = 128  # side of the centre crops on which the bits of photographs are measured


@dataclass(frozen=True)
class Bits:
    """Means over images, in bits per colour value of the image that is modelled.

    Args:
        total: distortion + rate, the negative ELBO.
        distortion, rate: its two terms.
        rates: the rate of each group, coarse to fine.
        nats_per_map: KL of each group in nats, per latent channel and image.
        importance_weighted: the bound of Burda et al. 2016, or None when it was not asked for.
        draws: posterior draws behind it.
        units: (channels, height, width) of each group's latent; empty when images differ in size.
        active: how many of them are active in each group, see `ActiveUnits`.
    """

    total: float
    distortion: float
    rate: float
    rates: list[float]
    nats_per_map: list[float]
    importance_weighted: float | None = None
    draws: int = 1
    units: list[list[int]] = field(default_factory=list)
    active: list[int] = field(default_factory=list)


@dataclass
class _Folded:
    """What the draws of one batch say, per image and in nats.

    Args:
        distortion, rates: means over draws: (N,), and (N,) for each group.
        weight: log of the mean importance weight, (N,).
    """

    distortion: Tensor
    rates: list[Tensor]
    weight: Tensor


@torch.inference_mode()
def measure(
    model: GenerativeModel,
    pairs: Iterable[tuple[Tensor, Tensor | None]],
    *,
    draws: int = 1,
    seed: int = 0,
) -> Bits:
    """Evaluate the bound of a model on batches of images.

    Args:
        pairs: HR images (N, 3, H, W) in [0, 1], exactly multiples of 1 / 255, and their LR
            versions, None for models that start from a constant.
        draws: posterior draws of the importance-weighted bound; 1 gives the ELBO alone.
        seed: of the draws.
    """
    noise, activity = Noise(seed), ActiveUnits()
    others = Noise(~seed % WORD)  # another: what activity is averaged over changes no bound
    bits, nats, channels = [], [], []
    for hr, lr in pairs:
        seen = _folded(model.elbos(hr, lr, noise, draws))
        shifts = mean_shifts(model.elbos(hr, lr, others, ACTIVITY_DRAWS))
        bits.append(bits_per_dim(torch.stack([seen.distortion, -seen.weight, *seen.rates]), hr))
        nats.append(torch.stack(seen.rates))
        channels = [shift.shape[1] for shift in shifts]
        activity.add(shifts)
    distortion, bound, *rates = torch.cat(bits, dim=1).mean(dim=1).tolist()
    per_group = torch.cat(nats, dim=1).mean(dim=1).tolist()
    return Bits(
        total=distortion + sum(rates),
        distortion=distortion,
        rate=sum(rates),
        rates=rates,
        nats_per_map=[n / maps for n, maps in zip(per_group, channels, strict=True)],
        importance_weighted=bound if draws > 1 else None,
        draws=draws,
        units=activity.units,
        active=activity.active,
    )


def _folded(bounds: Iterable[ELBO]) -> _Folded:
    """Folds one bound after another, so that a hundred draws take the memory of one."""
    terms: list[Tensor] = []
    weight, draws = torch.tensor(-math.inf), 0
    for bound in bounds:
        terms = summed(terms, [bound.distortion, *bound.rates])
        weight = torch.logaddexp(weight.to(bound.distortion), bound.log_importance_weight)
        draws += 1
    distortion, *rates = [term / draws for term in terms]
    return _Folded(distortion, rates, weight - math.log(draws))


def bits_of(
    model: GenerativeModel, references: References, *, draws: int = 1, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Bits of x given y (or of x), of y where the model has p(y), and their sum over x.

    A joint model has one figure, of x: its bound is of x and y together, and y follows from x.
    Of photographs the centre is taken: the encoder needs an HR image's worth of features.

    Args:
        references: HR images.
        draws, seed: see `measure`; the seed is also that of degradations that draw.

    Returns:
        what is described -> the fields of `Bits`, or of a sum `total` and `importance_weighted`.
    """
    assert model.degradation is not None
    crop = CROP if references.space == "y" else None
    generator = seeded(seed)
    every = [
        _centre(hr.expand(-1, 3, -1, -1), crop, model.reduction)
        for hr in references.on(model.device)
    ]
    pairs = [
        (hr, model.degradation(hr, generator) if model.is_conditional else None) for hr in every
    ]
    name = "x given y" if model.is_conditional and not model.is_joint else "x"
    bits = {name: _measured(model, pairs, name, draws, seed)}
    if model.lr_prior is not None and not model.is_joint:
        small: list[tuple[Tensor, Tensor | None]] = [
            (lr, None) for _, lr in pairs if lr is not None and _fits(model.lr_prior, lr)
        ]
        if small:
            bits["y"] = _measured(model.lr_prior, small, "y", draws, seed)
            share = 1 / model.scale**2
            bits["x"] = {
                key: bits[name][key] + share * bits["y"][key]
                for key in ("total", "importance_weighted")
                if bits[name][key] is not None
            }
    return bits


def _measured(
    model: GenerativeModel,
    pairs: Iterable[tuple[Tensor, Tensor | None]],
    name: str,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    shown = tqdm(pairs, desc=f"bits of {name}", unit="batch")
    return asdict(measure(model, shown, draws=draws, seed=seed))


def _centre(hr: Tensor, crop: int | None, multiple: int) -> Tensor:
    """The middle of images, at most `crop` pixels a side and a multiple of what levels need."""
    if crop is None:
        return hr
    height, width = (min(crop, side) // multiple * multiple for side in hr.shape[-2:])
    top, left = (hr.shape[-2] - height) // 2, (hr.shape[-1] - width) // 2
    return hr[..., top : top + height, left : left + width]


def _fits(model: GenerativeModel, image: Tensor) -> bool:
    return all(side % model.reduction == 0 for side in image.shape[-2:])
