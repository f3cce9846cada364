"""Spectral regularisation: the largest singular values of a network's convolutions."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.nn.flows import MaskedConv2d

ITERATIONS = 4  # of the power method at each step, as in NVAE's code


def kernels(*networks: nn.Module) -> Iterator[Tensor]:
    """The kernels of all convolutions as matrices (out, in h w), in the order of the modules."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                yield module.weight.flatten(1)
            elif isinstance(module, MaskedConv2d):
                yield module.kernel.flatten(1)


class SpectralNorms(nn.Module):
    """The largest singular value of every convolution, by power iteration.

    A kernel (out, in, h, w) counts as the matrix (out, in h w), as in Yoshida and Miyato 2017.
    The left singular vectors are kept from step to step, so a few iterations are enough while
    weights move slowly; they are part of the state, so that resuming is exact.

    Args:
        networks: whose convolutions.
    """

    def __init__(self, *networks: nn.Module):
        super().__init__()
        shapes = [tuple(kernel.shape) for kernel in kernels(*networks)]
        for rows, columns in dict.fromkeys(shapes):
            left = torch.randn(shapes.count((rows, columns)), rows)
            self.register_buffer(f"left_{rows}x{columns}", F.normalize(left, dim=1))

    def forward(self, *networks: nn.Module, iterations: int = ITERATIONS) -> Tensor:
        """Their values, (layers,), kernels of one shape side by side; gradients flow to weights."""
        by_shape: dict[str, list[Tensor]] = {}
        for kernel in kernels(*networks):
            rows, columns = kernel.shape
            by_shape.setdefault(f"left_{rows}x{columns}", []).append(kernel.float())
        found = []
        for name, alike in by_shape.items():
            matrices = torch.stack(alike)
            with torch.autocast(matrices.device.type, enabled=False):
                found.append(self._values(self.get_buffer(name), matrices, iterations))
        return torch.cat(found)

    def _values(self, kept: Tensor, matrices: Tensor, iterations: int) -> Tensor:
        """Singular values (n,) of matrices (n, rows, columns); `kept` follows while training."""
        with torch.no_grad():
            left = kept.float()
            for _ in range(iterations):
                right = F.normalize(torch.einsum("nrc,nr->nc", matrices, left), dim=1)
                product = torch.einsum("nrc,nc->nr", matrices, right)
                # a matrix of zeros says nothing, and may grow later
                left = torch.where(
                    product.any(dim=1, keepdim=True), F.normalize(product, dim=1), left
                )
            if self.training:
                kept.copy_(left)
        return torch.einsum("nr,nrc,nc->n", left, matrices, right)
