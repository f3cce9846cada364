"""Steps that are left out because their gradient is far larger than those before it."""

import math

import torch
from torch import Tensor

FIRST = 20  # steps before any gradient is called an outlier
MEMORY = 0.97  # decay of the running mean
PATIENCE = 10  # outliers in a row after which a gradient is taken all the same


class Outliers:
    """Tells gradients that would throw training off, as VDVAE leaves out steps above a norm.

    A fixed norm ends training for good once all gradients are above it. Here the bound is `factor`
    times the running geometric mean of the norms, outliers enter that mean as large as the bound,
    and after `PATIENCE` of them in a row the next gradient counts, clipped as every other.

    Args:
        factor: more than 1; None lets every gradient pass.
        device: where norms are compared, without waiting for it.

    Raises:
        ValueError: for a factor that is not more than 1.
    """

    def __init__(self, factor: float | None, device: torch.device):
        if factor is not None and not factor > 1:
            raise ValueError(f"skip_above must be more than 1, not {factor}")
        self.factor = factor
        self.log_mean, self.steps, self.in_a_row = (torch.zeros((), device=device) for _ in "abc")

    def passes(self, norm: Tensor) -> Tensor:
        """Whether a gradient of this norm, a finite scalar, is to be used; a scalar bool.

        A norm that is not finite does not pass, and leaves the running mean as it is.
        """
        finite = norm.isfinite()
        if self.factor is None:
            return finite
        finite = norm.isfinite() & (norm > 0)
        bound = self.log_mean + math.log(self.factor)
        value = torch.where(finite, norm, 1.0).log()
        outlier = (value > bound) & (self.steps >= FIRST) & (self.in_a_row < PATIENCE)
        seen = torch.where(self.steps >= FIRST, value.minimum(bound), value)
        decay = torch.clamp(self.steps / (self.steps + 1), max=MEMORY)
        self.log_mean = torch.where(
            finite, decay * self.log_mean + (1 - decay) * seen, self.log_mean
        )
        self.in_a_row = torch.where(outlier, self.in_a_row + 1, 0.0)
        self.steps = self.steps + finite
        return norm.isfinite() & ~(finite & outlier)

    def state(self) -> list[float]:
        """What `restore` needs to go on exactly."""
        return [float(self.log_mean), float(self.steps), float(self.in_a_row)]

    def restore(self, state: list[float]) -> None:
        device = self.log_mean.device
        self.log_mean, self.steps, self.in_a_row = torch.tensor(state, device=device).unbind()
