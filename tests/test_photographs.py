"""`python -m benchmarks photographs`: HR images and their LR versions under the same names."""

from pathlib import Path

import torch
from conftest import random_images
from PIL import Image

from benchmarks import __main__ as benchmarks
from hvae_sr.degradations import get_degradation
from hvae_sr.imaging.pixels import to_image, to_tensor


def test_lr_versions_are_of_whole_images_and_large_ones_come_at_three_scales(tmp_path: Path):
    (tmp_path / "in" / "set").mkdir(parents=True)
    small = to_image(random_images(1, 3, 66, 75)[0])
    small.save(tmp_path / "in" / "set" / "small.png")
    Image.new("RGB", (1030, 1030), (9, 8, 7)).save(tmp_path / "in" / "set" / "large.png")
    Image.new("RGB", (70, 70)).save(tmp_path / "in" / "set" / "test.png")
    arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--exclude", "*/test.png"]
    assert benchmarks.main(["photographs", *arguments]) == 0
    sizes = {}
    for folder in ("hr", "lr4", "lr2"):
        files = sorted((tmp_path / "out" / folder).iterdir())
        sizes[folder] = {file.name: Image.open(file).size for file in files}
    assert sizes["hr"] == {
        "set-large-100.png": (1028, 1028),
        "set-large-50.png": (512, 512),
        "set-large-70.png": (720, 720),
        "set-small-100.png": (72, 64),
    }
    for folder, factor in (("lr4", 4), ("lr2", 2)):
        for name, (width, height) in sizes["hr"].items():
            assert sizes[folder][name] == (width // factor, height // factor)
        lr = to_tensor(Image.open(tmp_path / "out" / folder / "set-small-100.png"))
        hr = to_tensor(small)[..., :64, :72]
        torch.testing.assert_close(lr, get_degradation("bicubic", factor)(hr))


def test_an_empty_folder_is_told(tmp_path: Path, capsys):
    assert benchmarks.main(["photographs", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "holds no image" in capsys.readouterr().err
