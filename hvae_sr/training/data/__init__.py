"""Images for training and evaluation."""

from hvae_sr.training.data.batches import (Batch, Pictures, SYMMETRIES, augment, generator)
from hvae_sr.training.data.sets import (Crops, DeadLeaves, Packed, Stack, split)
from hvae_sr.training.data.sources import (cifar10, load_array, load_pictures, picture_files, read_files, read_folder)

__all__ = ["Batch", "Crops", "DeadLeaves", "Packed", "Pictures", "SYMMETRIES", "Stack", "augment", "cifar10", "generator", "load_array", "load_pictures", "picture_files", "read_files", "read_folder", "split"]
