"""Convolutions, residual cells, up- and down-samplers shared by all models.

Padding repeats the border: at 8x8 every pixel is near one, and zeros would teach the network
positions that do not exist in larger images. Weights start so that every layer keeps the
variance of its input (He et al. 2015): with PyTorch's defaults a four-layer cell passes on a
sixtieth of its signal, and the posteriors of a young VAE would see nothing of the image.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops.layers.torch import Rearrange
from torch import Tensor, nn

from hvae_sr.checks import one_of

ACTIVATIONS = {"silu": nn.SiLU, "gelu": nn.GELU, "relu": nn.ReLU, "elu": nn.ELU}
CELLS = ("plain", "single", "bottleneck")
DEEPEST = 64
POSTERIOR_STD = 0.25  # posteriors that start at std 1 collapsed on short runs
Follows = Literal["linear", "relu"]


def bordered(x: Tensor, radius: int) -> Tensor:
    """Repeat the border pixels `radius` times on each side: (N, C, H, W)."""
    bordered: Tensor = _Bordered.apply(x, radius)
    return bordered


class _Bordered(torch.autograd.Function):
    """What `F.pad(mode="replicate")` computes, for every memory layout and compiler.

    Its own gradient does not survive `torch.compile` on CPUs (seen with torch 2.14) and has no
    channels-last form; concatenation alone would be differentiated through many whole tensors of
    zeros.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, radius: int) -> Tensor:
        ctx.radius = radius
        x = torch.cat([x[:, :, :1]] * radius + [x] + [x[:, :, -1:]] * radius, dim=2)
        return torch.cat([x[..., :1]] * radius + [x] + [x[..., -1:]] * radius, dim=3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _folded(_folded(gradient, 3, ctx.radius), 2, ctx.radius), None


def _folded(gradient: Tensor, dim: int, radius: int) -> Tensor:
    """Give the gradient of what was repeated along `dim` to the border pixel it came from."""
    size = gradient.shape[dim] - 2 * radius
    first, inner, last = gradient.split([radius, size, radius], dim=dim)
    channels_last = gradient.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    inner = inner.clone(memory_format=layout)
    inner.narrow(dim, 0, 1).add_(first.sum(dim, keepdim=True))
    inner.narrow(dim, size - 1, 1).add_(last.sum(dim, keepdim=True))
    return inner


class BorderConv2d(nn.Conv2d):
    """A convolution that repeats the border pixels, so that sizes stay.

    An even kernel reaches one pixel further down and to the right, as TensorFlow pads ("SAME").
    """

    def forward(self, input: Tensor) -> Tensor:
        size = self.kernel_size[0]
        larger = bordered(input, size // 2) if size > 1 else input
        return super().forward(larger if size % 2 else larger[..., 1:, 1:])


def square(inputs: int, outputs: int, kernel: int, follows: Follows = "linear") -> nn.Conv2d:
    """A convolution of `kernel` x `kernel` pixels that keeps sizes, see `BorderConv2d`."""
    return _keep_variance(BorderConv2d(inputs, outputs, kernel), follows)


def conv3x3(inputs: int, outputs: int, follows: Follows = "linear", stride: int = 1) -> nn.Conv2d:
    return _keep_variance(BorderConv2d(inputs, outputs, 3, stride), follows)


def plain3x3(inputs: int, outputs: int, follows: Follows = "linear") -> nn.Conv2d:
    """Zeros around the border: quicker, for networks trained on crops far larger than a kernel."""
    return _keep_variance(nn.Conv2d(inputs, outputs, 3, padding=1), follows)


def conv1x1(inputs: int, outputs: int, follows: Follows = "linear") -> nn.Conv2d:
    return _keep_variance(nn.Conv2d(inputs, outputs, 1), follows)


def _keep_variance(conv: nn.Conv2d, follows: Follows) -> nn.Conv2d:
    """He initialisation for a convolution that follows `linear` or `relu`-like features."""
    nn.init.kaiming_normal_(conv.weight, nonlinearity=follows)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def scaled(conv: nn.Conv2d, factor: float) -> nn.Conv2d:
    """Scale a freshly initialised convolution; 0 makes its branch start silent."""
    with torch.no_grad():
        conv.weight.mul_(factor)
        if conv.bias is not None:
            conv.bias.mul_(factor)
    return conv


class Cell(nn.Sequential):
    """A stack of activations and convolutions that ends in a convolution."""

    @property
    def last(self) -> nn.Conv2d:
        conv = self[-1]
        assert isinstance(conv, nn.Conv2d)
        return conv


@dataclass(frozen=True)
class CellKind:
    """How the cells of a network are built; called, it makes one.

    Args:
        name: `plain` (two 3x3 convolutions, as in EDSR), `single` (one of them) or `bottleneck`
            (1x1, 3x3, 3x3, 1x1, as in VDVAE).
        activation: `silu`, `gelu`, `relu` or `elu`, before every convolution.
        bottleneck: width over that of the bottleneck's middle.

    Raises:
        ValueError: for an unknown name or activation, or a bottleneck that is not positive.
    """

    name: str
    activation: str = "silu"
    bottleneck: int = 2

    def __post_init__(self) -> None:
        one_of("cell", self.name, CELLS)
        one_of("activation", self.activation, ACTIVATIONS)
        if self.bottleneck < 1:
            raise ValueError(f"bottleneck must be at least 1, not {self.bottleneck}")

    def __call__(self, inputs: int, width: int, outputs: int) -> Cell:
        """A pre-activated stack of convolutions, (N, inputs, H, W) -> (N, outputs, H, W)."""
        act = ACTIVATIONS[self.activation]
        layers: list[nn.Module] = []
        for convolution in self._convolutions(inputs, width, outputs):
            layers += [act(), convolution]
        return Cell(*layers)

    def _convolutions(self, inputs: int, width: int, outputs: int) -> list[nn.Conv2d]:
        if self.name == "single":
            return [conv3x3(inputs, outputs, "relu")]
        if self.name == "plain":
            return [conv3x3(inputs, width, "relu"), conv3x3(width, outputs, "relu")]
        middle = max(1, width // self.bottleneck)
        inner = [conv3x3(middle, middle, "relu") for _ in range(2)]
        return [conv1x1(inputs, middle, "relu"), *inner, conv1x1(middle, outputs, "relu")]


class Residual(nn.Module):
    """x + cell(x), whose last convolution starts scaled by 1 / sqrt(depth) (Child 2021).

    Args:
        depth: how many residual branches the signal passes, so that its variance stays bounded.
    """

    def __init__(self, kind: CellKind, width: int, depth: int):
        super().__init__()
        self.cell = kind(width, width, width)
        scaled(self.cell.last, 1 / math.sqrt(depth))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cell(x)


def within(name: str, count: int) -> None:
    """Refuse a depth that only a mistaken config asks for.

    Raises:
        ValueError: for more than `DEEPEST`.
    """
    if not 0 <= count <= DEEPEST:
        raise ValueError(f"{name} must be between 0 and {DEEPEST}, not {count}")


def residuals(kind: CellKind, width: int, count: int, depth: int | None = None) -> nn.Sequential:
    """A stack of residual cells: `count` of the `depth` that their signal passes, or all of them.

    Raises:
        ValueError: for more than `DEEPEST` cells, which only a mistaken config asks for.
    """
    within("blocks", count)
    return nn.Sequential(*[Residual(kind, width, depth or count) for _ in range(count)])


def upsample(inputs: int, outputs: int, factor: int) -> nn.Sequential:
    """Sub-pixel convolution (Shi et al. 2016): (N, inputs, H, W) -> (N, outputs, fH, fW)."""
    return nn.Sequential(conv1x1(inputs, outputs * factor**2), depth_to_space(factor))


def downsample(inputs: int, outputs: int, factor: int) -> nn.Sequential:
    """The mirror image of `upsample`: (N, inputs, fH, fW) -> (N, outputs, H, W)."""
    return nn.Sequential(space_to_depth(factor), conv1x1(inputs * factor**2, outputs))


def folded(inputs: int, outputs: int, factor: int) -> nn.Sequential:
    """First layers of an encoder: (N, inputs, fH, fW) -> (N, outputs, H, W), 3x3 when folded."""
    return nn.Sequential(space_to_depth(factor), conv3x3(inputs * factor**2, outputs))


def resampled(inputs: int, outputs: int, given: int, wanted: int) -> nn.Sequential:
    """`upsample` or `downsample`, from one resolution to another: each in image pixels per pixel.

    Raises:
        ValueError: when neither is a multiple of the other.
    """
    if given % wanted == 0:
        return upsample(inputs, outputs, given // wanted)
    if wanted % given == 0:
        return downsample(inputs, outputs, wanted // given)
    raise ValueError(f"reductions {given} and {wanted} need one that divides the other")


def repeated(inputs: int, outputs: int, factor: int) -> nn.Sequential:
    """Nearest neighbours (VDVAE): every pixel `factor` times, and a bias of this resolution."""
    return nn.Sequential(
        nn.Upsample(scale_factor=factor), _widened(inputs, outputs), ChannelBias(outputs)
    )


def pooled(inputs: int, outputs: int, factor: int) -> nn.Sequential:
    """The mirror image of `repeated`, without a bias: averages of `factor` x `factor` pixels."""
    return nn.Sequential(nn.AvgPool2d(factor), _widened(inputs, outputs))


def _widened(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else conv1x1(inputs, outputs)


class ChannelBias(nn.Module):
    """One learned number for each channel, the same at all places."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


def depth_to_space(factor: int) -> Rearrange:
    """(N, C f^2, H, W) -> (N, C, fH, fW); torch's own pixel shuffle is far slower on CPUs."""
    return Rearrange("n (c a b) h w -> n c (h a) (w b)", a=factor, b=factor)


def space_to_depth(factor: int) -> Rearrange:
    """(N, C, fH, fW) -> (N, C f^2, H, W)."""
    return Rearrange("n c (h a) (w b) -> n (c a b) h w", a=factor, b=factor)


def start_narrow(conv: nn.Conv2d, latent: int) -> None:
    """Let posteriors, whose mean and raw std `conv` gives, begin at std `POSTERIOR_STD`."""
    assert conv.bias is not None
    with torch.no_grad():
        conv.bias[latent:] = math.log2(2**POSTERIOR_STD - 1)
