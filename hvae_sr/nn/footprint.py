"""What a network takes: how far it looks, and how much memory a pass needs."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hvae_sr.nn.windows import round_up

LARGEST_FIELD = 64  # LR pixels; what lies further away moves no 8-bit value in practice
OVERHEAD = 4.0  # peak memory of a pass in units of its largest module's input and output
STRIP = 8  # LR pixels across the strips that networks are measured on


@dataclass(frozen=True)
class Footprint:
    """What a network needs of its surroundings.

    Args:
        receptive_field: its radius in LR pixels, at most `LARGEST_FIELD`.
        memory: bytes of a forward pass per LR pixel, roughly.
    """

    receptive_field: int
    memory: float


@torch.inference_mode()
def measure(model: nn.Module, multiple: int = 1) -> Footprint:
    """Measure a network LR (N, 3, h, w) -> HR on narrow strips, in a fraction of a second.

    The receptive field is exact: one input pixel is made NaN, and its output tells how far it
    reaches, through rounding and weights that are zero as well, which hide it from gradients.
    """
    # A copy on the CPU: other devices' convolutions smear NaN over whole blocks, and another
    # thread may be using the model.
    network = copy.deepcopy(model).cpu().float().eval()
    across = round_up(STRIP, multiple)
    length = round_up(2 * LARGEST_FIELD + across, multiple)
    reach = max(_reach(network, size, multiple) for size in ((across, length), (length, across)))
    return Footprint(min(reach, LARGEST_FIELD), OVERHEAD * _traffic(network, across))


def _reach(network: nn.Module, size: tuple[int, int], multiple: int) -> int:
    """The largest distance that an input pixel acts over, along the longer side, in LR pixels."""
    axis = int(size[1] > size[0])
    first = size[axis] // 2 // multiple * multiple
    last = first + multiple - 1
    lr = torch.full((1, 3, *size), 0.5)
    lr.narrow(2 + axis, first, multiple).fill_(torch.nan)
    hr = network(lr)
    touched = hr.isnan().any(dim=3 - axis).any(dim=1)[0].nonzero() // (hr.shape[-1] // size[1])
    return int(max(last - touched.min(), touched.max() - first)) if len(touched) else 0


def _traffic(network: nn.Module, side: int) -> float:
    """Bytes per LR pixel of the largest input and output of any module without children."""
    largest = 0

    def note(_: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal largest
        tensors = [t for t in (*inputs, output) if isinstance(t, Tensor)]
        largest = max(largest, sum(t.numel() * t.element_size() for t in tensors))

    leaves = [module for module in network.modules() if not list(module.children())]
    for leaf in leaves:
        leaf.register_forward_hook(note)
    hr = network(torch.full((1, 3, side, side), 0.5))
    return max(largest, 2 * hr.numel() * hr.element_size()) / side**2
