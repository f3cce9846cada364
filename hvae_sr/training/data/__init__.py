"""Images for training and evaluation."""

from hvae_sr.training.data.batches import SYMMETRIES, Batch, ImageSet, augment, generator
from hvae_sr.training.data.sets import Crops, DeadLeaves, Packed, Stack, split
from hvae_sr.training.data.sources import (
    cifar10,
    image_files,
    load_array,
    load_images,
    read_files,
    read_folder,
)

__all__ = [
    "SYMMETRIES",
    "Batch",
    "Crops",
    "DeadLeaves",
    "ImageSet",
    "Packed",
    "Stack",
    "augment",
    "cifar10",
    "generator",
    "image_files",
    "load_array",
    "load_images",
    "read_files",
    "read_folder",
    "split",
]
