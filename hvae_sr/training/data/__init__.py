"""Images for training and evaluation."""

from hvae_sr.training.data.batches import SYMMETRIES, Batch, Pictures, augment, generator
from hvae_sr.training.data.sets import Crops, DeadLeaves, Packed, Stack, split
from hvae_sr.training.data.sources import (
    cifar10,
    load_array,
    load_pictures,
    picture_files,
    read_files,
    read_folder,
)

__all__ = [
    "SYMMETRIES",
    "Batch",
    "Crops",
    "DeadLeaves",
    "Packed",
    "Pictures",
    "Stack",
    "augment",
    "cifar10",
    "generator",
    "load_array",
    "load_pictures",
    "picture_files",
    "read_files",
    "read_folder",
    "split",
]
