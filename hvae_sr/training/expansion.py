"""Convolutions that are wider in training than in the saved model.

Each expanded 3x3 weight is W + C K A: a 3x3 convolution K between two 1x1 convolutions, beside the
direct one. All of it is linear, so the sum *is* a 3x3 weight: it is merged before every use, which
costs almost nothing, and for good when the model is saved ("structural re-parameterisation":
Ding et al., "RepVGG", CVPR 2021; Zhang et al., "ECBSR", ACM MM 2021).
"""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hvae_sr.models.base import SuperResolutionModel

M = TypeVar("M", bound=SuperResolutionModel)
GAIN = 2  # channels between A and C, for each of the convolution's own
LOUDNESS = 0.3  # standard deviation of C K A at the start, in units of that of W


class Expansion(nn.Module):
    """W (outputs, inputs, 3, 3) -> W + C K A of the same shape."""

    def __init__(self, weight: Tensor):
        super().__init__()
        outputs, inputs, *kernel = weight.shape
        middle = GAIN * inputs
        self.a = nn.Parameter(torch.randn(middle, inputs) * inputs**-0.5)
        self.k = nn.Parameter(torch.randn(middle, middle, *kernel) * (9 * middle) ** -0.5)
        self.c = nn.Parameter(torch.randn(outputs, middle) * middle**-0.5)
        with torch.no_grad():
            self.c.mul_(LOUDNESS * weight.std() / self.branch().std())

    def branch(self) -> Tensor:
        left = torch.einsum("om,mnhw->onhw", self.c, self.k)
        return torch.einsum("onhw,ni->oihw", left, self.a)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.branch()

    @torch.no_grad()
    def right_inverse(self, merged: Tensor) -> Tensor:
        """The W whose sum with the branch is `merged`: widening changes no trained network."""
        return merged - self.branch()


def expand(model: nn.Module) -> None:
    """Widen every 3x3 convolution of `model` that keeps its number of channels, in place."""
    for conv in _square_convolutions(model):
        parametrize.register_parametrization(conv, "weight", Expansion(conv.weight.detach()))


def merged(model: M) -> M:
    """The plain model, in evaluation mode, that computes what the expanded `model` does.

    Built anew from its config: a copy would share the class that torch's parametrisation made for
    the original, and taking the parametrisation off one would take it off both.
    """
    state = {k: v for k, v in model.state_dict().items() if ".parametrizations." not in k}
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            assert isinstance(module.weight, Tensor)
            state[f"{name}.weight"] = module.weight.detach()
    plain = type(model)(**model.config)
    plain.load_state_dict(state)
    return plain.eval()


def _square_convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [
        module
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
        and module.kernel_size == (3, 3)
        and module.in_channels == module.out_channels
    ]
