"""Frechet distance of two sets of images: between Gaussians fitted to their features.

Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", named it FID for the features of
Inception-v3. On other features it is another figure under another name.
"""

import torch
from torch import Tensor


class GaussianFit:
    """Mean and covariance of features, from running sums in double precision."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = self.products = torch.zeros((), dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        """Features (N, F) of a batch."""
        features = features.detach().cpu().double()
        self.count += len(features)
        self.sums = self.sums + features.sum(dim=0)
        self.products = self.products + features.T @ features

    @property
    def mean(self) -> Tensor:
        """(F,)"""
        return self.sums / self.count

    @property
    def covariance(self) -> Tensor:
        """(F, F), of a sample: divided by one less than the count."""
        mean = self.mean
        return (self.products - self.count * torch.outer(mean, mean)) / (self.count - 1)


def frechet_distance(a: GaussianFit, b: GaussianFit) -> float:
    """|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), at least 0.

    Args:
        a, b: of two sets; with fewer images than features a covariance is singular, and the
            distance is far too large.

    Raises:
        ValueError: when a set has fewer than 2 images.
    """
    if min(a.count, b.count) < 2:
        raise ValueError("a Frechet distance needs at least 2 images on each side")
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    # C_a^(1/2) C_b C_a^(1/2) has the eigenvalues of C_a C_b, and is symmetric: they are real.
    shared = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * shared
    return max(0.0, float((a.mean - b.mean).square().sum() + spread))
