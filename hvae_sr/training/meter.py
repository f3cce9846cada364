"""Sums of what a run logs."""

import torch
from torch import Tensor

from hvae_sr.errors import TrainingError

MOST_SKIPS = 50  # non-finite gradients in a row before a run is given up


class Meter:
    """Sums of logged terms over the steps whose gradient was used, on the device until read."""

    def __init__(self, device: torch.device):
        self.zero = torch.zeros((), device=device)
        self.in_a_row = self.zero
        self._clear()

    def _clear(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps, self.skipped = self.zero, self.zero

    def add(self, terms: dict[str, Tensor], used: Tensor) -> None:
        for key, value in terms.items():
            self.sums[key] = self.sums.get(key, self.zero) + torch.where(used, value, 0.0)
        self.steps = self.steps + used
        self.skipped = self.skipped + ~used
        self.in_a_row = torch.where(used, 0.0, self.in_a_row + 1)

    def read(self) -> tuple[dict[str, float], int]:
        """Means since the last call, and how many steps were skipped.

        Raises:
            TrainingError: after `MOST_SKIPS` gradients in a row that were not finite.
        """
        if self.in_a_row >= MOST_SKIPS:
            raise TrainingError(
                f"the last {int(self.in_a_row)} gradients were not finite: lower the learning rate "
                "and resume from the last checkpoint"
            )
        steps = max(1.0, float(self.steps))
        means = {key: float(value) / steps for key, value in self.sums.items()}
        skipped = int(self.skipped)
        self._clear()
        return means, skipped
