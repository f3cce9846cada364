"""Store coarse, restore later: a small image that remembers how it was made, and the way back.

Shrinking is the model's own degradation, so what the model sees again is what it was trained on.
"""

from hvae_sr.rescale.restoring import restore, restore_file
from hvae_sr.rescale.shrinking import shrink, shrink_file
from hvae_sr.rescale.shrunk import Shrunk

__all__ = ["Shrunk", "restore", "restore_file", "shrink", "shrink_file"]
