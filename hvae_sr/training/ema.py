"""Exponential moving average of the weights."""

import copy

import torch
from torch import Tensor, nn


class EMA:
    """Averaged weights whose decay, min(decay, (1 + t) / (10 + t)), suits short runs too.

    Args:
        model: the model being trained; its copy is `self.model`.
        decay: the largest decay.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        averaged: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(averaged, list(model.parameters()), 1 - decay)
        for kept, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            kept.copy_(buffer)
