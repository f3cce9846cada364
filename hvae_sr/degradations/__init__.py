"""HR -> LR: what "low resolution" means, the same for training, evaluation and consistency."""

from hvae_sr.degradations.base import SCALES, Degradation, get_degradation, register_degradation

__all__ = ["SCALES", "Degradation", "get_degradation", "register_degradation"]
