"""Levels and interpolation over the demo's API."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import refusal
from gradio_client import Client, handle_file
from PIL import Image

from hvae_sr import GenerativeModel
from hvae_sr.demo import catalogue, grids
from hvae_sr.models.traversal import stages

Ask = Callable[..., tuple]


@pytest.fixture
def levels(client: Client) -> Ask:
    return lambda **choices: client.predict(api_name="/levels", **choices)


@pytest.fixture
def between(client: Client) -> Ask:
    return lambda **choices: client.predict(api_name="/interpolate", **choices)


@pytest.fixture(scope="module")
def sampler() -> tuple[str, GenerativeModel]:
    """A model that draws LR images first."""
    found = (
        (name, model)
        for name, model in catalogue.bundled_models().items()
        if catalogue.can_sample(model)
    )
    return next((name, model) for name, model in found if model.lr_prior is not None)


@pytest.fixture(scope="module")
def enlarger() -> str:
    """A hierarchy that cannot draw unconditional samples."""
    models = catalogue.bundled_models().items()
    return next(
        name
        for name, model in models
        if isinstance(model, GenerativeModel) and not catalogue.can_sample(model)
    )


def test_rows_keep_more_and_more(levels: Ask, sampler: tuple[str, GenerativeModel]) -> None:
    name, model = sampler
    rows, download, _ = levels(model=name, others=2, seed=3)
    assert [row["caption"] for row in rows] == [f"Kept: {each.kept}" for each in stages(model)]
    assert {Image.open(row["image"]).size for row in rows} == {(3 * 128 + 2 * 8, 128)}
    assert Path(download).name == f"{name}-levels-seed3.png"
    whole = np.asarray(Image.open(download)).astype(float)
    assert whole.shape == (34 * len(rows) + 2, 3 * 34 + 2, 3)
    cells = [
        [whole[y : y + 32, x : x + 32] for x in (2, 36, 70)] for y in range(2, 34 * len(rows), 34)
    ]
    samples = [sample for sample, *_ in cells]
    differences = [np.abs(one - other).mean() for _, one, other in cells]
    assert all(np.abs(sample - samples[0]).mean() < 1 for sample in samples)
    assert differences[0] > 2 * differences[-1] > 0


def test_levels_of_an_uploaded_picture(levels: Ask, small: Path, enlarger: str) -> None:
    rows, download, _ = levels(model=enlarger, others=1, image=handle_file(small))
    assert [row["caption"].startswith("Kept: y") for row in rows] == [False] * len(rows)
    assert Path(download).name == "small-levels-seed0.png"
    with Image.open(download) as whole:
        scale = catalogue.load(enlarger).scale
        assert whole.width == 2 * (24 * scale + 2) + 2
        assert whole.height == len(rows) * (20 * scale + 2) + 2


def test_levels_refuse_what_does_not_fit(levels: Ask, tmp_path: Path, enlarger: str) -> None:
    assert "only enlarges" in refusal(lambda: levels(model=enlarger))
    refusal(lambda: levels(others=9))
    refusal(lambda: levels(temperature=1.3))
    assert "no seed" in refusal(lambda: levels(seed=None))
    Image.new("L", (300, 300)).save(tmp_path / "large.png")
    large = handle_file(tmp_path / "large.png")
    assert "shrink it" in refusal(lambda: levels(model=enlarger, others=8, image=large))
    (tmp_path / "bad.png").write_text("no image at all")
    bad = handle_file(tmp_path / "bad.png")
    assert "bad.png is not an image" in refusal(lambda: levels(model=enlarger, image=bad))


def test_interpolation_goes_from_one_sample_to_the_other(between: Ask, client: Client) -> None:
    shown, download, numbers = between(start=1, end=2, steps=4)
    assert (numbers["seed"], numbers["end_seed"]) == (1, "2")
    assert Image.open(shown).size == (4 * 128 + 3 * 8, 128)
    assert Path(download).name.endswith("-seed1-to-2.png")
    strip = np.asarray(Image.open(download)).astype(float)
    assert strip.shape == (36, 4 * 34 + 2, 3)
    for seed, left in [(1, 2), (2, 3 * 34 + 2)]:
        _, alone, _ = client.predict(num_samples=1, seed=seed, api_name="/sample")
        sample = np.asarray(Image.open(alone)).astype(float)
        assert np.abs(strip[2:34, left : left + 32] - sample).mean() < 1


def test_interpolation_refuses_one_seed_twice(between: Ask) -> None:
    assert "two different seeds" in refusal(lambda: between(start=5, end=5))
    assert "no seed" in refusal(lambda: between(start=None))
    refusal(lambda: between(steps=2))


def test_both_are_documented(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    for name, parameters in [
        ("/levels", ["model", "others", "temperature", "seed", "image"]),
        ("/interpolate", ["model", "temperature", "start", "end", "steps"]),
    ]:
        assert [each["parameter_name"] for each in endpoints[name]["parameters"]] == parameters
        assert all(each["parameter_has_default"] for each in endpoints[name]["parameters"])
        assert endpoints[name]["description"]


def test_strips_enlarge_only_what_is_small() -> None:
    small, large = grids.torch.rand(2, 3, 2, 2), grids.torch.rand(2, 3, 200, 100)
    assert grids.strip(small).size == (2 * 128 + 128, 128)
    assert grids.strip(large).size == (202, 200)
    pixels = np.asarray(grids.strip(small))
    assert (pixels[:, 128:256, 3] == 0).all() and (pixels[:, :128, 3] == 255).all()
