"""Kinds of constructor arguments, for annotations: what the schema of configs checks them against.

An argument that is a plain number is from 0 to 4096; see `hvae_sr.storage.schema`.
"""

from typing import Annotated, Any

from hvae_sr.nn.layers import DEEPEST
from hvae_sr.storage.schema import Range

Count = Annotated[int, Range(1, 4096)]
Channels = Count
Depth = Annotated[int, Range(0, DEEPEST)]  # residual cells, or groups of latents
DegradationConfig = str | dict[str, Any]  # what `get_degradation` takes
ModelConfig = dict[str, Any]  # `full_config` of a model inside a model
