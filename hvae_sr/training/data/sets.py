"""Training sets: images kept in memory as uint8, whole or cropped, and procedural ones."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from hvae_sr.errors import DataError
from hvae_sr.training.data.batches import Batch, ImageSet, generator


class Stack(ImageSet):
    """Images of one size in one uint8 tensor (N, 3, H, W); every epoch is a new permutation.

    Args:
        pixels: uint8 (N, 3, H, W).
        name: where the images come from.
        lr, target: of the same images, see `Batch`.
    """

    def __init__(
        self, pixels: Tensor, name: str, lr: Tensor | None = None, target: Tensor | None = None
    ):
        self.parts = Batch(pixels, lr, target)
        self.name = name
        self._epoch = (-1, -1)
        self._order = torch.empty(0, dtype=torch.long)

    @property
    def pixels(self) -> Tensor:
        return self.parts.hr

    def to(self, device: torch.device) -> Self:
        kept = sum(part.numel() for part in self.parts if part is not None)
        if not _has_room(device, kept):
            return self
        hr, lr, target = self.parts.map(lambda part: part.to(device))
        return type(self)(hr, self.name, lr, target)

    def __len__(self) -> int:
        return len(self.pixels)

    def describe(self) -> str:
        n, _, height, width = self.pixels.shape
        return f"{n:,} images of {width}x{height} from {self.name}"

    def batch(self, seed: int, step: int, size: int) -> Batch:
        places = torch.arange(step * size, (step + 1) * size)
        epochs = places // len(self)
        rows = torch.empty_like(places)
        for epoch in epochs.unique().tolist():
            here = epochs == epoch
            rows[here] = self._permutation(seed, epoch)[places[here] % len(self)]
        rows = rows.to(self.pixels.device)
        return self.parts.map(lambda part: part[rows])

    def _permutation(self, seed: int, epoch: int) -> Tensor:
        if self._epoch != (seed, epoch):
            self._order = torch.randperm(len(self), generator=generator(seed, 1, epoch))
            self._epoch = (seed, epoch)
        return self._order


class Packed:
    """Images of any size, one after another in one uint8 tensor, cropped by a single gather.

    Args:
        images: uint8 (3, H, W) each.
    """

    def __init__(self, images: Sequence[Tensor]):
        self.pixels = torch.cat([image.flatten(1).T for image in images])
        self.sizes = torch.tensor([image.shape[1:] for image in images])
        areas = self.sizes.prod(dim=1)
        self.starts = areas.cumsum(0) - areas

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Tensor:
        """Image number `index`, a view of uint8 (3, H, W)."""
        if index >= len(self):
            raise IndexError(index)  # which ends a loop over the images
        height, width = self.sizes[index].tolist()
        start = int(self.starts[index])
        pixels = self.pixels[start : start + height * width]
        return pixels.view(height, width, 3).permute(2, 0, 1)

    def crops(self, rows: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
        """Crops of images `rows` at (`top`, `left`), all (N,) -> uint8 (N, 3, side, side)."""
        width = self.sizes[rows, 1]
        corner = self.starts[rows] + top * width + left
        corner, width = (each.to(self.pixels.device)[:, None, None] for each in (corner, width))
        steps = torch.arange(side, device=self.pixels.device)
        return self.pixels[corner + steps[:, None] * width + steps].permute(0, 3, 1, 2)


class Crops(ImageSet):
    """Random crops of images of any size, all of them decoded once and kept as uint8.

    Every place a crop can lie is equally likely, so large images are seen more often. Where LR
    versions are given, crops lie on the grid of LR pixels.

    Args:
        images: uint8 (3, H, W) each; those smaller than a crop are left out.
        crop: side of the crops.
        name: where the images come from.
        lr: LR versions, one for each image.
        target: a teacher's answers, one for each image.

    Raises:
        DataError: when every image is smaller than a crop, or a crop is no whole number of LR
            pixels.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        crop: int,
        name: str,
        lr: Sequence[Tensor] | None = None,
        target: Sequence[Tensor] | None = None,
    ):
        large = [index for index, p in enumerate(images) if min(p.shape[-2:]) >= crop]
        self.smaller = len(images) - len(large)
        if not large:
            raise DataError(f"every image of {name} is smaller than a crop of {crop} pixels")
        self.crop = crop
        self.name = name
        self.parts = [
            Packed([part[index] for index in large]) if part is not None else None
            for part in (images, lr, target)
        ]
        sizes = self.images.sizes
        self.step = int(sizes[0, 0] // self.parts[1].sizes[0, 0]) if self.parts[1] else 1
        if crop % self.step:
            raise DataError(f"crops of {crop} pixels are no multiple of the scale, {self.step}")
        self._free = sizes.div(self.step, rounding_mode="floor") - crop // self.step + 1
        self._places = self._free.prod(dim=1).double().cumsum(0)

    @property
    def images(self) -> Packed:
        hr = self.parts[0]
        assert hr is not None
        return hr

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> Self:
        packed = [part for part in self.parts if part is not None]
        if _has_room(device, sum(part.pixels.numel() for part in packed)):
            for part in packed:
                part.pixels = part.pixels.to(device)
        return self

    def describe(self) -> str:
        left_out = f" ({self.smaller:,} smaller ones left out)" if self.smaller else ""
        return f"{self.crop}x{self.crop} crops of {len(self):,} images from {self.name}{left_out}"

    def batch(self, seed: int, step: int, size: int) -> Batch:
        random = generator(seed, 2, step)
        which = torch.rand(size, generator=random, dtype=torch.double) * self._places[-1]
        rows = torch.searchsorted(self._places, which, right=True)
        draws = torch.rand(size, 2, generator=random).double()
        top, left = (draws * self._free[rows]).long().unbind(dim=1)  # in LR pixels
        _, lr, target = self.parts
        small = (rows, top, left, self.crop // self.step)
        full = (rows, top * self.step, left * self.step, self.crop)
        return Batch(
            self.images.crops(*full),
            lr.crops(*small) if lr is not None else None,
            target.crops(*full) if target is not None else None,
        )

    def take(self, indices: Sequence[int]) -> "Crops":
        """Crops of some of the images alone."""
        hr, lr, target = (
            [part[index] for index in indices] if part is not None else None for part in self.parts
        )
        assert hr is not None
        return Crops(hr, self.crop, self.name, lr, target)


def _has_room(device: torch.device, size: int) -> bool:
    """Whether `size` bytes fit into half of what a GPU has free; other devices share memory."""
    return device.type != "cuda" or size < torch.cuda.mem_get_info(device)[0] // 2


class DeadLeaves(ImageSet):
    """Procedural images: overlapping discs with random sizes and shades, softly lit.

    The dead-leaves model of Lee, Mumford and Huang 2001: its statistics (edges, occlusion,
    scale invariance) are those of photographs, and it needs no file.

    Args:
        side: pixels along each side.
        leaves: discs per image.
    """

    name = "procedural dead leaves"

    def __init__(self, side: int = 32, leaves: int = 48):
        self.side = side
        self.leaves = leaves

    def describe(self) -> str:
        return f"{self.side}x{self.side} dead-leaves images made on the fly"

    def batch(self, seed: int, step: int, size: int) -> Batch:
        random = generator(seed, 3, step)
        axis = (torch.arange(self.side) + 0.5) / self.side
        image = torch.rand(size, 3, 1, 1, generator=random).expand(-1, -1, self.side, self.side)
        draws = torch.rand(self.leaves, size, 8, generator=random)
        for leaf in draws:
            x, y, radius, tilt, *_ = leaf.unbind(dim=1)
            radius = 0.04 / (1 - 0.93 * radius)  # a power law between 0.04 and 0.57 of the side
            dx = axis[None, None, :] - (1.4 * x - 0.2)[:, None, None]
            dy = axis[None, :, None] - (1.4 * y - 0.2)[:, None, None]
            distance = (dx**2 + dy**2).sqrt() - radius[:, None, None]
            cover = (0.5 - distance * self.side).clamp(0, 1).unsqueeze(1)
            light = 1 + (tilt[:, None, None] - 0.5) * (dx + dy) / radius[:, None, None] * 0.5
            shade = leaf[:, 4:7, None, None] * light.unsqueeze(1)
            image = image * (1 - cover) + shade * cover
        return Batch(image.clamp(0, 1).mul(255).round().byte())


def split(images: ImageSet, validation: int) -> tuple[ImageSet, Batch]:
    """Hold `validation` images out: training images, and a batch for validation.

    Of a stack the last ones are held out. Of images to be cropped those at even distances,
    since folders are sorted; one crop of each is returned. Procedural images are unlimited:
    their validation set is a batch of another seed.

    Raises:
        DataError: when nothing would be left to train on.
    """
    if validation < 1:
        raise DataError(f"at least one image must be held out for validation, not {validation}")
    if isinstance(images, DeadLeaves):
        return images, images.batch(2**31, 0, validation)
    if not isinstance(images, Stack | Crops) or len(images) <= validation:
        raise DataError(f"{images.name} is too small to hold {validation} images out")
    if isinstance(images, Stack):
        hr, lr, target = images.parts.map(lambda part: part[:-validation])
        held = images.parts.map(lambda part: part[-validation:])
        return Stack(hr, images.name, lr, target), held
    out = {index * len(images) // validation for index in range(validation)}
    kept = images.take([index for index in range(len(images)) if index not in out])
    kept.smaller = images.smaller
    crops = [images.take([index]).batch(2**31, 0, 1) for index in sorted(out)]
    return kept, Batch(
        *[None if part[0] is None else torch.cat(part) for part in zip(*crops, strict=True)]  # type: ignore[arg-type]
    )
