"""Inverse autoregressive flows: posteriors that are more than Gaussian, with an exact density.

Diederik P. Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow",
NeurIPS 2016 (arXiv:1606.04934), in the cells of NVAE: what is added to a number depends on the
numbers before it, in the order of rows, columns and channels, so that volumes stay.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hvae_sr.nn.latents import DiagonalGaussian, Distribution
from hvae_sr.nn.noise import Noise

EXPANSION = 6  # channels of a flow cell's middle, for each of the latent's
QUIET = 0.1  # scale of a cell's last weights at first: the flow starts near the identity


def visible(
    inputs: int, outputs: int, size: int, *, depthwise: bool, strict: bool, mirror: bool
) -> Tensor:
    """Which weights of a convolution look back: (outputs, inputs or 1, size, size), bool.

    Args:
        strict: at the same place an output sees the channels before its own only, not its own.
        mirror: the order runs from the last pixel to the first.
    """
    places = torch.arange(size**2, device="cpu").view(size, size)
    earlier = places > size**2 // 2 if mirror else places < size**2 // 2
    mask = earlier.expand(outputs, 1 if depthwise else inputs, size, size).clone()
    latent = min(inputs, outputs)
    of_output, of_input = (
        torch.arange(channels, device="cpu") * latent // channels for channels in (outputs, inputs)
    )
    if depthwise:
        of_input = of_output[:1]
        of_output = of_output[:1].expand(outputs)
    before = of_input < of_output[:, None] if strict else of_input <= of_output[:, None]
    mask[:, :, size // 2, size // 2] = before
    return mask


class MaskedConv2d(nn.Module):
    """A convolution that looks back; zeros surround the latent. It holds visible weights alone.

    Args:
        inputs, outputs: channels; the larger number is a multiple of the smaller one.
        size: of the kernel, odd.
        depthwise, strict, mirror: see `visible`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        depthwise: bool = False,
        strict: bool = False,
        mirror: bool = False,
    ):
        super().__init__()
        self.shape = (inputs, outputs, size)
        self.order = {"depthwise": depthwise, "strict": strict, "mirror": mirror}
        mask = visible(*self.shape, **self.order)
        fan_in = mask.sum(dim=(1, 2, 3), keepdim=True).expand_as(mask)[mask]
        self.weight = nn.Parameter(torch.empty(len(fan_in)))
        self.bias = nn.Parameter(torch.zeros(outputs))
        with torch.no_grad():
            self.weight.normal_().mul_(fan_in.rsqrt().to(self.weight))

    @property
    def kernel(self) -> Tensor:
        """(outputs, inputs or 1, size, size), zeros where it does not look."""
        mask = visible(*self.shape, **self.order).to(self.weight.device)
        return self.weight.new_zeros(mask.shape).masked_scatter(mask, self.weight)

    def forward(self, x: Tensor) -> Tensor:
        inputs, _, size = self.shape
        groups = inputs if self.order["depthwise"] else 1
        return F.conv2d(x, self.kernel, self.bias, padding=size // 2, groups=groups)


class FlowCell(nn.Module):
    """z = u - shift(u): every number less what the numbers before it say. Its log-det is 0."""

    def __init__(self, latent: int, mirror: bool):
        super().__init__()
        wide = EXPANSION * latent
        last = MaskedConv2d(wide, latent, 1, mirror=mirror)
        with torch.no_grad():
            last.weight.mul_(QUIET)
        self.shift = nn.Sequential(
            MaskedConv2d(latent, wide, 3, strict=True, mirror=mirror),
            nn.ELU(),
            MaskedConv2d(wide, wide, 5, depthwise=True, mirror=mirror),
            nn.ELU(),
            last,
        )

    def forward(self, u: Tensor) -> Tensor:
        return u - self._shift(u)

    def inverse(self, z: Tensor) -> Tensor:
        """The u of a z, exactly: each round settles at least one more number, in their order."""
        u = z
        for _ in range(z[0].numel()):
            last, u = u, z + self._shift(u)
            if torch.equal(last, u):
                break
        return u

    def _shift(self, u: Tensor) -> Tensor:
        weights = next(self.shift.parameters())
        shift: Tensor = self.shift(u.to(weights.dtype))
        return shift.to(u.dtype)


class Flow(nn.Module):
    """Pairs of flow cells, one from the first pixel to the last, one from the last to the first.

    Args:
        latent: channels.
        pairs: how many.
    """

    def __init__(self, latent: int, pairs: int):
        super().__init__()
        self.cells = nn.ModuleList(
            FlowCell(latent, mirror) for _ in range(pairs) for mirror in (False, True)
        )

    def forward(self, u: Tensor) -> Tensor:
        """(N, latent, H, W) -> the same; the determinant of its Jacobian is 1."""
        for cell in self.cells:
            u = cell(u)
        return u

    def inverse(self, z: Tensor) -> Tensor:
        """What `forward` makes z of; slow, as numbers settle one after another."""
        for cell in reversed(self.cells):
            assert isinstance(cell, FlowCell)
            z = cell.inverse(z)
        return z


class FlowedGaussian:
    """The distribution of flow(u), u from a Gaussian; flow keeps volumes.

    Args:
        base: of u.
        flow: what u passes.
    """

    def __init__(self, base: DiagonalGaussian, flow: Flow):
        self.base, self.flow = base, flow
        self._drawn: tuple[Tensor, Tensor] | None = None

    @property
    def mean(self) -> Tensor:
        """What the mean of u becomes; the mean of z itself has no closed form."""
        return self.flow(self.base.mean)

    @property
    def std(self) -> Tensor:
        """That of u: flows shift numbers, they do not scale them."""
        return self.base.std

    def sample(self, noise: Noise, temperature: float = 1.0) -> Tensor:
        """A draw; the last one is kept with its u, so that its density costs no inversion."""
        u = self.base.sample(noise, temperature)
        z: Tensor = self.flow(u)
        self._drawn = z, u
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of z in nats, exact: that of its u, number by number."""
        if self._drawn is not None and z is self._drawn[0]:
            return self.base.log_prob(self._drawn[1])
        return self.base.log_prob(self.flow.inverse(z))

    def rate(self, prior: Distribution, z: Tensor) -> Tensor:
        """log q(z) - log p(z) of one draw: its mean over draws is the KL."""
        return self.log_prob(z) - prior.log_prob(z)
