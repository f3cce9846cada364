"""Where random draws come from."""

import hashlib

import torch
from torch import Tensor

from hvae_sr.checks import whole

LARGEST_SEED = 2**63 - 1
WORD = 2**32  # torch's generator on the CPU keeps a seed modulo this


def seeded(seed: int) -> torch.Generator:
    """A generator on the CPU for a seed from 0 on, however large.

    A seed of more than 32 bits, of which torch would drop the upper ones, stands for the hash of
    all its digits: 1 and 2**32 + 1 are different seeds.

    Raises:
        TypeError, ValueError: for what is not a whole number from 0 to `LARGEST_SEED`.
    """
    seed = whole("seed", seed, 0, LARGEST_SEED)
    if seed >= WORD:
        digest = hashlib.blake2b(str(seed).encode(), digest_size=4).digest()
        seed = int.from_bytes(digest, "big")
    return torch.Generator().manual_seed(seed)


class Noise:
    """Standard normal draws from one `torch.Generator` or seed, so that a seed names an image.

    Drawn on the generator's device and moved, which gives the same image on CPU and GPU.
    """

    def __init__(self, source: torch.Generator | int | None = None):
        if source is not None and not isinstance(source, torch.Generator):
            source = seeded(source)
        self.generator = source

    def __call__(self, like: Tensor) -> Tensor:
        device = self.generator.device if self.generator is not None else like.device
        draw = torch.randn(like.shape, generator=self.generator, device=device)
        return draw.to(like)
