"""Pairs from photographs: the same for a seed, whoever makes them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import __main__ as benchmarks
from benchmarks import degradations, pairs
from hvae_sr.degradations.blind import Blind


def photograph(path: Path, width: int, height: int) -> np.ndarray:
    """Each pixel tells where it stands."""
    y, x = np.mgrid[:height, :width]
    values = np.stack([x % 256, y % 256, np.full_like(x, 8 * (x // 256))], -1).astype(np.uint8)
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(values).save(path)
    return values


def run(folder: Path, out: Path, *more: str) -> tuple[np.ndarray, np.ndarray]:
    arguments = [str(folder), str(out), "--count", "9", "--lr-side", "8", *more]
    assert benchmarks.main(["pairs", *arguments]) == 0
    return np.load(out / "hr.npy"), np.load(out / "lr.npy")


def test_pairs_are_crops_and_the_same_whoever_makes_them(tmp_path: Path):
    whole = photograph(tmp_path / "photos" / "a" / "a.png", 60, 50)
    photograph(tmp_path / "photos" / "kept_out" / "b.png", 90, 90)
    photograph(tmp_path / "photos" / "small.png", 31, 90)
    exclude = ("--exclude", "kept_out/*")
    hr, lr = run(tmp_path / "photos", tmp_path / "one", *exclude)
    again = run(tmp_path / "photos", tmp_path / "two", *exclude, "--workers", "2")
    assert np.array_equal(hr, again[0]) and np.array_equal(lr, again[1])
    assert hr.shape == (9, 32, 32, 3) and lr.shape == (9, 8, 8, 3)
    assert hr.dtype == lr.dtype == np.uint8
    places = {(int(image[0, 0, 0]), int(image[0, 0, 1])) for image in hr}
    assert len(places) > 5
    for image in hr:
        left, top = (int(v) for v in image[0, 0, :2])
        assert np.array_equal(image, whole[top : top + 32, left : left + 32])
    told = json.loads((tmp_path / "one" / "pairs.json").read_text())
    assert Blind(**told["degradation"]) == pairs.degradation("middle")
    other = run(tmp_path / "photos", tmp_path / "three", *exclude, "--seed", "1")
    assert not np.array_equal(hr, other[0])


def test_the_heavier_strength_makes_other_lr_images_of_the_same_crops(tmp_path: Path):
    photograph(tmp_path / "photos" / "a.png", 60, 50)
    middle = run(tmp_path / "photos", tmp_path / "one")
    heavy = run(tmp_path / "photos", tmp_path / "two", "--strength", "heavy")
    assert np.array_equal(middle[0], heavy[0]) and not np.array_equal(middle[1], heavy[1])


def test_large_photographs_are_used_at_several_scales():
    random = np.random.default_rng(0)
    ramp = np.tile(np.arange(1200) * 255 // 1199, (1100, 1)).astype(np.uint8)
    large = Image.fromarray(np.stack([ramp] * 3, -1))
    spans = [int(np.ptp(pairs.crop(large, 64, random)[..., 0].astype(int))) for _ in range(20)]
    assert min(spans) <= 17 and max(spans) >= 24  # 64 and 128 pixels of the ramp: 13 and 27 steps
    assert pairs.crop(large.crop((0, 0, 70, 70)), 64, random).shape == (64, 64, 3)


def test_without_pyav_film_frames_are_left_out_and_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(pairs, "find_spec", lambda name: None)
    assert pairs.degradation("heavy").film == 0
    assert "PyAV" in capsys.readouterr().err


@pytest.mark.skipif("av" not in sys.modules and pairs.find_spec("av") is None, reason="no PyAV")
def test_with_pyav_there_are_film_frames(capsys):
    assert pairs.degradation("middle").film > 0
    assert not capsys.readouterr().err


def test_folders_without_usable_images_are_refused(tmp_path: Path, capsys):
    arguments = [str(tmp_path), str(tmp_path / "out"), "--count", "1"]
    assert benchmarks.main(["pairs", *arguments]) == 1
    assert "holds no image of at least 256 pixels" in capsys.readouterr().err
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert benchmarks.main(["pairs", *arguments]) == 1
    assert "broken.png" in capsys.readouterr().err


def test_a_sheet_shows_each_photograph_under_both_strengths(tmp_path: Path, capsys):
    pytest.importorskip("av")
    photograph(tmp_path / "a.png", 300, 200)
    photograph(tmp_path / "b.png", 200, 300)
    out = tmp_path / "sheet.png"
    arguments = [str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--out", str(out)]
    assert benchmarks.main(["degradations", *arguments]) == 0
    side, gap = degradations.SIDE, degradations.GAP
    assert Image.open(out).size == (8 * side + 7 * gap, 2 * side + gap)
    assert benchmarks.main(["degradations", str(tmp_path / "absent.png"), "--out", str(out)]) == 1
    assert "absent.png" in capsys.readouterr().err
