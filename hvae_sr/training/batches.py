"""What a run trains on and is watched by: batches of its images, on the device, in [0, 1]."""

import torch

from hvae_sr.degradations import get_degradation
from hvae_sr.errors import DataError
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.training import data
from hvae_sr.training.recipes import Recipe
from hvae_sr.training.setup import Options

VALIDATION = 2**31  # first place of the held-out batches, beyond any step


class Batches:
    """The images of a run, those of its training and those held out.

    Args:
        images: all of them, of which the recipe's `validation` are held out.
        model: whose degradation makes the LR versions that are not given.
        device: where batches lie.

    Raises:
        DataError: when the images do not fit the model.
    """

    def __init__(
        self,
        images: data.ImageSet,
        recipe: Recipe,
        options: Options,
        model: SuperResolutionModel,
        device: torch.device,
    ):
        self.recipe, self.options, self.device = recipe, options, device
        training, self.held_out = data.split(images, recipe.validation)
        self.described = training.describe()
        self.images = training.to(device)
        self.degradation = model.degradation
        self.shrink = get_degradation(**recipe.shrink) if recipe.shrink else None
        try:
            self.pair(next(self.held_out.split(1)), 0)
        except ValueError as error:
            raise DataError(f"{self.images.name}: {error}") from error

    def training(self, place: int, size: int, target_weight: float) -> data.Batch:
        """A batch of `size` images, turned; the seed and its place name it."""
        seed = self.options.seed
        batch = self.images.batch(seed, place, size)
        batch = batch.map(lambda part: part.to(self.device, non_blocking=True))
        return self.pair(
            batch.map(lambda part: data.augment(part, seed, place, self.recipe.symmetry)),
            place,
            target_weight,
        )

    def pair(self, batch: data.Batch, place: int, target_weight: float = 0.0) -> data.Batch:
        """HR and LR in [0, 1]; a teacher's answer is blended into the HR image by its weight."""
        hr, lr, target = batch.map(lambda part: part.to(self.device).float().div(255))
        if target is not None:
            hr = hr.lerp(target, target_weight)
        if self.options.channels_last:
            hr = hr.contiguous(memory_format=torch.channels_last)
        if lr is not None:
            return data.Batch(hr, lr)
        if self.degradation is None:  # a model of images without an LR version
            return data.Batch(self.shrink(hr) if self.shrink is not None else hr)
        random = data.generator(self.options.seed, 6, place)
        return data.Batch(hr, self.degradation(hr, random))
