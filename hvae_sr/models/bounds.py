"""Bounds of the log-likelihood of a latent variable model, and training on one of them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hvae_sr.models.passes import Features, LatentVariableModel
from hvae_sr.nn.distributions import bits_per_dim
from hvae_sr.nn.latents import LatentSample, LatentSource
from hvae_sr.nn.noise import Noise


@dataclass
class ELBO:
    """One evaluation of the bound; all in nats per image, (N,).

    Args:
        distortion: -log p of what is observed, given the latents of one posterior draw.
        latents: what each latent drew, coarse to fine.
        features: what was decoded; see `GenerativeModel.mean`.
    """

    distortion: Tensor
    latents: list[LatentSample]
    features: Features

    @property
    def rates(self) -> list[Tensor]:
        """KL of each latent, coarse to fine."""
        return [latent.kl for latent in self.latents]

    @property
    def rate(self) -> Tensor:
        return torch.stack(self.rates).sum(dim=0)

    @property
    def value(self) -> Tensor:
        """The bound itself: -distortion - rate."""
        return -self.distortion - self.rate

    @property
    def log_importance_weight(self) -> Tensor:
        """log p(x, z | y) - log q(z | x, y) of the drawn z, over every latent, in nats: (N,).

        Its log-mean-exp over draws is the bound of Burda et al. 2016.
        """
        ratio = torch.zeros_like(self.distortion)
        for latent in self.latents:
            assert latent.posterior is not None
            gap = latent.prior.log_prob(latent.z) - latent.posterior.log_prob(latent.z)
            ratio = ratio + gap.sum(dim=(1, 2, 3))
        return ratio - self.distortion


class Bounded(LatentVariableModel, registered=False):
    """The ELBO, the importance-weighted bound, and the training objective."""

    def elbo(self, hr: Tensor, lr: Tensor | None = None, noise: Noise | None = None) -> ELBO:
        """One posterior draw and its terms of the bound.

        Args:
            hr: (N, 3, H, W) in [0, 1], exactly multiples of 1 / 255.
            lr: its LR version; left out by models that start from a constant.
            noise: source of the posterior draw.

        Raises:
            TypeError, ValueError: see `check_pair`.
        """
        return next(self.elbos(hr, lr, noise))

    def elbos(
        self, hr: Tensor, lr: Tensor | None = None, noise: Noise | None = None, draws: int = 1
    ) -> Iterator[ELBO]:
        """Several posterior draws of the same images, one after another; see `elbo`."""
        self.check_pair(hr, lr)
        activations = self.bottom_up(hr, lr)
        noise = noise or Noise()
        for _ in range(draws):
            features, latents = self.top_down(lr, activations, LatentSource(noise))
            yield ELBO(-self.log_likelihood(features, hr, lr), latents, features)

    def importance_weighted(
        self, hr: Tensor, lr: Tensor | None = None, *, draws: int, noise: Noise | None = None
    ) -> Tensor:
        """The importance-weighted bound of Burda et al. 2016 with `draws` draws, in nats: (N,)."""
        weights = [bound.log_importance_weight for bound in self.elbos(hr, lr, noise, draws)]
        return torch.stack(weights).logsumexp(dim=0) - math.log(draws)

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
            hr, lr: see `elbo`.
            beta: weight of the rate (Higgins et al. 2017).
            free_bits: bits per dimension each latent may use at no cost (Kingma et al. 2016).
            mse_weight: weight of the reconstruction's mean squared error, images in [0, 1].
            prior_weight: weight of the error of the image decoded from the prior at
                temperature 0, on half the batch (Sohn et al. 2015); it keeps the prior path as
                good as a regression network. The unit is bits: 0.5 log2 of the squared error.
        """
        bound = self.elbo(hr, lr)
        distortion = bits_per_dim(bound.distortion, hr).mean()
        rates = torch.stack([bits_per_dim(rate, hr).mean() for rate in bound.rates])
        shares = self.rate_weights(torch.stack(bound.rates, dim=1).detach(), beta)
        objective = distortion + beta * (shares * rates.clamp_min(free_bits)).sum()
        terms = {
            "bits_per_dim": (distortion + rates.sum()).detach(),
            "distortion": distortion.detach(),
            "rate": rates.sum().detach(),
        }
        if mse_weight:
            error = F.mse_loss(self.mean(bound.features), hr)
            objective = objective + mse_weight * error
            terms["mse"] = error.detach()
        if prior_weight:
            half = hr[: (hr.shape[0] + 1) // 2]
            shape = (len(half), half.shape[-2], half.shape[-1])
            features = self.best_guess(lr[: len(half)] if lr is not None else None, shape, bound)
            error = F.mse_loss(self.mean(features), half)
            objective = objective + prior_weight * 0.5 * error.log2()
            terms["psnr_prior"] = -10 * error.detach().log10()
        return {"loss": objective, **terms}

    def rate_weights(self, rates: Tensor, beta: float) -> Tensor:
        """Weights of the latents' rates in `loss`, beside `beta`: (latents,); all 1 here.

        Args:
            rates: in nats, (N, latents), coarse to fine.
            beta: weight of the whole rate.
        """
        return torch.ones_like(rates[0])

    def best_guess(self, lr: Tensor | None, shape: tuple[int, int, int], bound: ELBO) -> Features:
        """The pass at temperature 0, in training.

        Args:
            lr: LR images (N, 3, h, w) in [0, 1], None for models without one.
            shape: (N, H, W) of the images.
            bound: the ELBO of these images, and perhaps of more behind them, for a model of which
                parts need not be run twice.
        """
        return self.top_down(lr, None, LatentSource(temperature=0.0, shape=shape))[0]
