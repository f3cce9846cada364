"""Training images: batches as pure functions of (seed, step), sources, and what is held out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_images
from PIL import Image
from torch import Tensor

from hvae_sr.errors import DataError, ImageError
from hvae_sr.imaging.pixels import to_tensor
from hvae_sr.training import data
from hvae_sr.training.data import (
    Crops,
    DeadLeaves,
    ImageSet,
    Stack,
    augment,
    load_array,
    load_images,
    split,
)


def numbered(count: int, side: int = 2) -> Stack:
    """Images that carry their own number in every pixel."""
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, side, side)
    return Stack(pixels.contiguous(), "numbers")


def numbers(batch: Tensor) -> list[int]:
    return batch[:, 0, 0, 0].tolist()


def bytes_of(*shape: int, seed: int = 0) -> Tensor:
    return (random_images(*shape, seed=seed) * 255).round().byte()


def crops(count: int = 5, crop: int = 4) -> Crops:
    """Images of different sizes in which every pixel tells image, row and column."""
    pictures = []
    for index in range(count):
        height, width = crop + index, crop + 3 * index
        rows = torch.arange(height).view(-1, 1).expand(height, width)
        columns = torch.arange(width).expand(height, width)
        pictures.append(torch.stack([torch.full_like(rows, index), rows, columns]).byte())
    return Crops(pictures, crop, "squares")


SOURCES: dict[str, ImageSet] = {
    "stack": numbered(7),
    "crops": crops(),
    "procedural": DeadLeaves(16, leaves=8),
}


@pytest.mark.parametrize("name", SOURCES)
class TestEverySource:
    def test_a_batch_depends_on_seed_and_step_alone(self, name: str):
        pictures = SOURCES[name]
        first = pictures.batch(0, 5, 4).hr
        for seed, step in [(1, 5), (0, 6), (0, 0)]:
            pictures.batch(seed, step, 4)
        torch.rand(3)
        assert torch.equal(pictures.batch(0, 5, 4).hr, first)

    def test_seeds_and_steps_differ(self, name: str):
        pictures = SOURCES[name]
        batches = [
            pictures.batch(seed, step, 4).hr for seed, step in [(0, 0), (0, 1), (1, 0), (1, 1)]
        ]
        for index, batch in enumerate(batches):
            assert not any(torch.equal(batch, other) for other in batches[index + 1 :])

    def test_batches_are_bytes_and_leave_the_global_generator_alone(self, name: str):
        before = torch.get_rng_state()
        batch = SOURCES[name].batch(0, 0, 3).hr
        assert batch.dtype == torch.uint8
        assert batch.shape[:2] == (3, 3) and batch.shape[2] == batch.shape[3]
        assert torch.equal(torch.get_rng_state(), before)

    def test_they_say_what_they_are(self, name: str):
        pictures = SOURCES[name]
        side = pictures.batch(0, 0, 1).hr.shape[-1]
        assert f"{side}x{side}" in pictures.describe()


class TestStack:
    @pytest.mark.parametrize("size", [1, 3, 7, 10, 25])
    def test_every_epoch_shows_every_picture_once(self, size: int):
        stack, epochs = numbered(10), 4
        steps = -(-10 * epochs // size)
        seen = [n for step in range(steps) for n in numbers(stack.batch(3, step, size).hr)]
        orders = [seen[10 * e : 10 * (e + 1)] for e in range(epochs)]
        assert all(sorted(order) == list(range(10)) for order in orders)
        assert len({tuple(order) for order in orders}) == epochs

    def test_ranks_share_an_epoch(self):
        """Batch `step * world + rank` of half the size is what one process would see."""
        stack = numbered(10)
        whole = numbers(stack.batch(0, 1, 6).hr)
        halves = [n for rank in (0, 1) for n in numbers(stack.batch(0, 2 + rank, 3).hr)]
        assert whole == halves


class TestCrops:
    def test_every_crop_lies_in_one_picture_and_all_places_are_reached(self):
        source = crops()
        batch = source.batch(0, 0, 4000).hr
        assert batch.shape == (4000, 3, 4, 4)
        rows, columns = batch[:, 1, 0, 0].int(), batch[:, 2, 0, 0].int()
        assert (batch[:, 0] == batch[:, 0, :1, :1]).all()
        assert (batch[:, 1].int() - rows[:, None, None] == torch.arange(4).view(-1, 1)).all()
        assert (batch[:, 2].int() - columns[:, None, None] == torch.arange(4)).all()
        places = [(index + 1) * (3 * index + 1) for index in range(5)]
        for index in range(5):
            chosen = batch[:, 0, 0, 0] == index
            share = 4000 * places[index] / sum(places)
            assert chosen.sum() == pytest.approx(share, abs=5 * share**0.5)
            assert sorted(set(rows[chosen].tolist())) == list(range(index + 1))
            assert sorted(set(columns[chosen].tolist())) == list(range(3 * index + 1))

    def test_images_smaller_than_a_crop_are_left_out_and_counted(self):
        source = Crops([bytes_of(3, 8, 8), bytes_of(3, 3, 9)], 4, "mixed")
        assert source.describe() == "4x4 crops of 1 images from mixed (1 smaller ones left out)"
        assert source.batch(0, 0, 20).hr.shape == (20, 3, 4, 4)

    def test_some_picture_must_hold_a_crop(self):
        with pytest.raises(DataError, match="every image of mixed is smaller than a crop of 10"):
            Crops([bytes_of(3, 8, 8), bytes_of(3, 3, 9)], 10, "mixed")


def companions(source: Crops, scale: int) -> Crops:
    """The same images enlarged, with the small ones as LR and their negatives as targets."""
    small = list(source.images)
    large = [p.repeat_interleave(scale, 1).repeat_interleave(scale, 2) for p in small]
    return Crops(large, 2 * scale, "pairs", small, [255 - picture for picture in large])


class TestPairs:
    @pytest.mark.parametrize("kind", ["crops", "stack"])
    def test_all_parts_show_the_same_place_turned_alike(self, kind: str):
        source: ImageSet = companions(crops(), 3)
        if kind == "stack":
            whole = source.batch(0, 0, 20)
            source = Stack(whole.hr, "pairs", whole.lr, whole.target)
        for step in range(3):
            batch = source.batch(1, step, 9).map(lambda part: augment(part, 0, 5, "dihedral"))
            assert batch.lr is not None and batch.target is not None
            assert batch.hr.shape == (9, 3, 6, 6) and batch.lr.shape == (9, 3, 2, 2)
            enlarged = batch.lr.repeat_interleave(3, 2).repeat_interleave(3, 3)
            assert torch.equal(batch.hr, enlarged)
            assert torch.equal(batch.target, 255 - batch.hr)

    def test_they_are_split_and_held_out_together(self):
        kept, held = split(companions(crops(6), 3), 2)
        assert held.lr is not None and held.target is not None
        assert torch.equal(held.hr, held.lr.repeat_interleave(3, 2).repeat_interleave(3, 3))
        assert numbers(held.lr) == [0, 3]
        assert set(numbers(kept.batch(0, 0, 500).hr)) == {1, 2, 4, 5}
        sizes = [len(part.hr) for part in held.split(1)]
        assert sizes == [1, 1]

    def test_crops_are_whole_numbers_of_lr_pixels(self):
        with pytest.raises(DataError, match="no multiple of the scale, 3"):
            Crops([bytes_of(3, 9, 9)], 4, "pairs", [bytes_of(3, 3, 3)])

    def folders(self, tmp_path: Path, sizes: list[tuple[int, int]]) -> tuple[str, str, str]:
        for folder, factor in [("hr", 2), ("lr", 1), ("to", 2)]:
            (tmp_path / folder).mkdir()
            for index, (width, height) in enumerate(sizes):
                picture = Image.new("RGB", (width * factor, height * factor), (index, factor, 0))
                picture.save(tmp_path / folder / f"{index}.{'png' if factor == 2 else 'webp'}")
        return str(tmp_path / "hr"), str(tmp_path / "lr"), str(tmp_path / "to")

    @pytest.mark.parametrize("sizes", [[(8, 8), (8, 8)], [(8, 8), (12, 9)]])
    def test_folders_of_the_same_names(self, sizes: list[tuple[int, int]], tmp_path: Path):
        hr, lr, to = self.folders(tmp_path, sizes)
        batch = load_images(hr, crop=16, lr=lr, targets=to).batch(0, 0, 8)
        assert batch.lr is not None and batch.target is not None
        assert batch.hr.shape == batch.target.shape == (8, 3, 16, 16)
        assert batch.lr.shape == (8, 3, 8, 8)

    def test_a_companion_that_lacks_a_name_or_has_another_size(self, tmp_path: Path):
        hr, lr, to = self.folders(tmp_path, [(8, 8), (9, 9)])
        with pytest.raises(DataError, match="lr' is not a folder"):
            load_images(hr, crop=8, lr=lr + "/../none/lr")
        with pytest.raises(DataError, match="0: the target is not as large"):
            load_images(hr, crop=8, targets=lr)
        Image.new("RGB", (5, 8)).save(Path(lr) / "0.webp")
        with pytest.raises(DataError, match="0: the image is no whole number of times"):
            load_images(hr, crop=8, lr=lr)
        (Path(to) / "1.png").unlink()
        with pytest.raises(DataError, match="lacks 1 and 0 others"):
            load_images(hr, crop=8, targets=to)

    def test_arrays(self, tmp_path: Path):
        for name, side in [("hr", 8), ("lr", 4), ("few", 4)]:
            count = 2 if name == "few" else 3
            np.save(tmp_path / f"{name}.npy", np.zeros((count, side, side, 3), np.uint8))
        found = load_images(str(tmp_path / "hr.npy"), lr=str(tmp_path / "lr.npy"))
        assert found.batch(0, 0, 2).lr is not None
        with pytest.raises(DataError, match="holds 3 images, its companion 2"):
            load_images(str(tmp_path / "hr.npy"), lr=str(tmp_path / "few.npy"))
        with pytest.raises(DataError, match="go with a folder"):
            load_images("procedural", lr=str(tmp_path / "lr.npy"))


class TestDeadLeaves:
    def test_images_differ_and_use_the_range(self):
        batch = DeadLeaves(32).batch(0, 0, 32).hr
        assert batch.shape == (32, 3, 32, 32)
        assert len(batch.flatten(1).unique(dim=0)) == 32
        assert batch.float().std() > 30
        assert batch.min() < 20 and batch.max() > 235

    def test_they_have_edges_and_flat_parts(self):
        picture = DeadLeaves(32).batch(1, 0, 16).hr.int()
        steps = (picture[..., 1:] - picture[..., :-1]).abs()
        assert (steps <= 4).float().mean() > 0.5
        assert (steps >= 40).float().mean() > 0.02


class TestSplit:
    def test_the_last_ones_are_held_out_of_a_stack(self):
        kept, held = split(numbered(10), 3)
        assert numbers(held.hr) == [7, 8, 9]
        seen = {n for step in range(20) for n in numbers(kept.batch(0, step, 5).hr)}
        assert seen == set(range(7))

    def test_crops_are_held_out_at_even_distances_one_of_each_picture(self):
        kept, held = split(crops(6), 2)
        assert held.hr.shape == (2, 3, 4, 4)
        assert numbers(held.hr) == [0, 3]
        assert set(numbers(kept.batch(0, 0, 2000).hr)) == {1, 2, 4, 5}
        assert torch.equal(held.hr, split(crops(6), 2)[1].hr)

    def test_procedural_pictures_are_held_out_by_their_seed(self):
        kept, held = split(DeadLeaves(16, leaves=8), 6)
        trained = torch.cat([kept.batch(0, step, 6).hr for step in range(5)]).flatten(1)
        assert held.hr.shape == (6, 3, 16, 16)
        assert not any((trained == picture).all(dim=1).any() for picture in held.hr.flatten(1))

    @pytest.mark.parametrize("validation", [10, 11])
    def test_something_must_be_left(self, validation: int):
        with pytest.raises(DataError, match="too small"):
            split(numbered(10), validation)

    @pytest.mark.parametrize("validation", [0, -1])
    @pytest.mark.parametrize("pictures", [numbered(10), crops()])
    def test_something_must_be_held_out(self, pictures: ImageSet, validation: int):
        with pytest.raises(DataError):
            split(pictures, validation)


class TestAugment:
    def test_half_of_the_pictures_are_mirrored(self):
        batch = bytes_of(1000, 3, 2, 4)
        flipped = augment(batch, 0, 0)
        mirrored = (flipped == batch.flip(-1)).flatten(1).all(dim=1)
        same = (flipped == batch).flatten(1).all(dim=1)
        assert (mirrored ^ same).all()
        assert mirrored.sum() == pytest.approx(500, abs=70)

    def test_the_same_ones_for_the_same_step(self):
        batch = bytes_of(64, 3, 2, 4)
        assert torch.equal(augment(batch, 1, 2), augment(batch, 1, 2))
        assert not torch.equal(augment(batch, 1, 2), augment(batch, 1, 3))


class TestSources:
    def test_an_array(self, tmp_path: Path):
        pixels = bytes_of(6, 3, 8, 8)
        np.save(tmp_path / "train.npy", pixels.permute(0, 2, 3, 1).numpy())
        assert torch.equal(load_array(tmp_path / "train.npy"), pixels)
        pictures = load_images(str(tmp_path / "train.npy"))
        assert isinstance(pictures, Stack)
        assert len(pictures) == 6
        assert "train.npy" in pictures.describe()

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((2, 4, 4, 3), np.float32),
            np.zeros((2, 3, 4, 4), np.uint8),
            np.zeros((4, 4, 3), np.uint8),
            np.zeros((0, 4, 4, 3), np.uint8),
            np.array([{"a": 1}], dtype=object),
        ],
    )
    def test_arrays_of_something_else(self, array: np.ndarray, tmp_path: Path):
        np.save(tmp_path / "odd.npy", array, allow_pickle=True)
        with pytest.raises(DataError, match=r"odd\.npy"):
            load_array(tmp_path / "odd.npy")

    @pytest.mark.parametrize("content", [None, b"", b"hello", b"\x93NUMPY"])
    def test_files_that_are_no_array(self, content: bytes | None, tmp_path: Path):
        if content is not None:
            (tmp_path / "odd.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"odd\.npy"):
            load_images(str(tmp_path / "odd.npy"))

    def test_a_folder_of_one_size_is_a_stack(self, tmp_path: Path):
        (tmp_path / "deeper").mkdir()
        for index in range(3):
            Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / "deeper" / f"{index}.png")
        (tmp_path / "notes.txt").write_text("no image")
        pictures = load_images(str(tmp_path), crop=8)
        assert isinstance(pictures, Stack)
        assert numbers(pictures.pixels) == [0, 1, 2]

    def test_a_folder_of_other_sizes_gives_crops(self, tmp_path: Path):
        for index, size in enumerate([(8, 8), (20, 9)]):
            Image.new("RGB", size, (index, 0, 0)).save(tmp_path / f"{index}.png")
        pictures = load_images(str(tmp_path), crop=8)
        assert isinstance(pictures, Crops)
        assert pictures.batch(0, 0, 5).hr.shape == (5, 3, 8, 8)
        with pytest.raises(DataError, match="smaller than a crop of 21"):
            load_images(str(tmp_path), crop=21)

    @pytest.mark.parametrize("kind", ["deep", "turned", "palette", "alpha"])
    def test_folders_read_every_picture_as_the_models_do(self, kind: str, tmp_path: Path):
        path, exif = tmp_path / "in.png", Image.Exif()
        exif[0x0112] = 6
        picture = Image.fromarray(bytes_of(1, 3, 4, 6)[0].permute(1, 2, 0).numpy())
        if kind == "deep":
            Image.fromarray((np.arange(24, dtype=np.uint16) * 2000).reshape(4, 6)).save(path)
        elif kind == "turned":
            picture.save(path, exif=exif)
        else:
            picture.convert("P" if kind == "palette" else "RGBA").save(path)
        (read,) = data.read_folder(tmp_path)
        expected = (to_tensor(Image.open(path))[0] * 255).round().byte()
        assert torch.equal(read, expected)

    def test_broken_and_empty_folders(self, tmp_path: Path):
        with pytest.raises(DataError, match="no image"):
            load_images(str(tmp_path))
        (tmp_path / "bad.png").write_bytes(b"hello")
        with pytest.raises(ImageError, match=r"bad\.png"):
            load_images(str(tmp_path))

    def test_procedural_and_unknown(self):
        pictures = load_images("procedural", crop=12)
        assert pictures.batch(0, 0, 2).hr.shape == (2, 3, 12, 12)
        with pytest.raises(DataError, match="cifar10, procedural"):
            load_images("imagenet")

    def test_cifar10_without_a_network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        def refuse(*args: object, **kwargs: object) -> None:
            raise OSError("no route to host")

        monkeypatch.setattr("torchvision.datasets.CIFAR10", refuse)
        with pytest.raises(DataError, match="no route to host"):
            load_images("cifar10", root=tmp_path)


def test_generators_have_addresses():
    draws = [torch.rand(2, generator=data.generator(*key)).tolist() for key in ADDRESSES]
    assert len({tuple(draw) for draw in draws}) == len(ADDRESSES)
    assert torch.equal(
        torch.rand(2, generator=data.generator(1, 2)), torch.rand(2, generator=data.generator(1, 2))
    )


ADDRESSES = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (0, 1, 3), (2**31, 1, 2), (2**62, 1, 2)]


class TestDihedral:
    def test_all_eight_symmetries_of_the_square_are_equally_likely(self):
        picture = torch.arange(27, dtype=torch.uint8).view(3, 3, 3)
        turned = augment(picture.expand(4000, -1, -1, -1), 0, 0, "dihedral")
        found = []
        for mirrored in (picture, picture.flip(-1)):
            for quarters in range(4):
                symmetry = torch.rot90(mirrored, quarters, (1, 2))
                found.append(int((turned == symmetry).flatten(1).all(dim=1).sum()))
        assert sum(found) == 4000
        assert all(count == pytest.approx(500, abs=110) for count in found)

    def test_an_unknown_symmetry_is_refused(self):
        with pytest.raises(ValueError, match="symmetry must be one of"):
            augment(bytes_of(2, 3, 4, 4), 0, 0, "rotate")
