"""Where random draws come from."""

import torch
from torch import Tensor


class Noise:
    """Standard normal draws from one `torch.Generator` or seed, so that a seed names an image.

    Drawn on the generator's device and moved, which gives the same image on CPU and GPU.
    """

    def __init__(self, source: torch.Generator | int | None = None):
        if isinstance(source, int):
            source = torch.Generator().manual_seed(source)
        self.generator = source

    def __call__(self, like: Tensor) -> Tensor:
        device = self.generator.device if self.generator is not None else like.device
        draw = torch.randn(like.shape, generator=self.generator, device=device)
        return draw.to(like)
