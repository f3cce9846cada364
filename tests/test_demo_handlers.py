"""Every handler of the demo, called as the page calls it, without a page and without a server."""

from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from conftest import Nearest, shaken, tiny_hvae, tiny_lr_prior
from PIL import Image
from test_demo_movie import clip

from hvae_sr import demo
from hvae_sr.demo import files, movie
from hvae_sr.demo.compare import CompareTab
from hvae_sr.demo.levels import LevelsTab
from hvae_sr.demo.movie import MovieTab
from hvae_sr.demo.sample import SampleTab
from hvae_sr.demo.upscale import UpscaleTab
from hvae_sr.models.base import SuperResolutionModel

SOMEONE = gr.Request(session_hash="someone")
NOBODY = gr.Request(session_hash="nobody")


@pytest.fixture(scope="module")
def models() -> dict[str, SuperResolutionModel]:
    """One model of each kind: deterministic, stochastic, and one that samples p(x) too."""
    joint = tiny_hvae().with_lr_prior(tiny_lr_prior())
    return {"nearest": Nearest(), "hvae": shaken(tiny_hvae()), "joint": shaken(joint)}


def refused(call: Any) -> str:
    with pytest.raises(gr.Error) as caught:
        call()
    return str(caught.value.message)


def chosen(index: Any) -> gr.SelectData:
    return gr.SelectData(None, {"index": index, "value": None})


# Upscale


@pytest.fixture
def upscale(models: dict[str, SuperResolutionModel]) -> UpscaleTab:
    return UpscaleTab(models)


def test_upscale_gives_larger_images_and_their_files(upscale: UpscaleTab, small: Path) -> None:
    (before, after), *_, file = upscale.upscale(str(small), "nearest", 1, 0, 0, False, SOMEONE)
    assert Image.open(before).size == Image.open(after).size == (48, 40)
    assert after == file and Path(file).name == "small-x2.png"
    direct = Nearest().upscale(Image.open(small))
    assert Image.open(file).tobytes() == direct.tobytes()


def test_upscale_draws_samples_and_shows_the_one_that_is_chosen(
    upscale: UpscaleTab, small: Path
) -> None:
    first, *_ = upscale.upscale(str(small), "hvae", 3, 1, 7, False, SOMEONE)
    again, _, samples, std_map, _, _ = upscale.upscale(str(small), "hvae", 3, 1, 7, False, SOMEONE)
    assert Image.open(first[1]).tobytes() == Image.open(again[1]).tobytes()
    assert len(samples) == 3 and std_map is not None and std_map.size == (96, 80)
    shown, _, file = upscale.show_sample(SOMEONE, chosen(1))
    assert shown[1] == file == samples[1][0]
    assert upscale.show_samples(SOMEONE)[0]["visible"]
    assert not upscale.show_samples(NOBODY)[0]["visible"]


def test_samples_that_are_gone_or_never_were_are_refused(upscale: UpscaleTab, small: Path) -> None:
    assert "no longer kept" in refused(lambda: upscale.show_sample(SOMEONE, chosen(0)))
    (before, _), *_ = upscale.upscale(str(small), "hvae", 2, 1, 0, False, SOMEONE)
    for index in (-1, 2, "0", True, None):
        assert "one of the 2" in refused(lambda i=index: upscale.show_sample(SOMEONE, chosen(i)))
    assert "no longer kept" in refused(lambda: upscale.show_sample(NOBODY, chosen(0)))
    Path(before).unlink()
    assert "no longer kept" in refused(lambda: upscale.show_sample(SOMEONE, chosen(0)))


def test_upscale_refuses_what_it_cannot_do(
    upscale: UpscaleTab, small: Path, tmp_path: Path
) -> None:
    def said(image: Any, model: str = "nearest", *rest: Any) -> str:
        values = [*rest, *(1, 0, 0, False)[len(rest) :]]
        return refused(lambda: upscale.upscale(image, model, *values, SOMEONE))

    assert "choose one first" in said(None)
    assert "choose one first" in said(str(tmp_path / "gone.png"))
    (tmp_path / "bad.png").write_text("not an image")
    assert "bad.png" in said(str(tmp_path / "bad.png"))
    assert "has one answer" in said(str(small), "nearest", 2)
    assert "has one answer" in said(str(small), "nearest", 1, 0.5)
    assert "no seed" in said(str(small), "hvae", 1, 0, None)


def test_choices_follow_the_model(upscale: UpscaleTab) -> None:
    choices, temperature, samples, note = upscale.show_choices("nearest")
    assert (choices["visible"], note["visible"]) == (False, True)
    assert (temperature["value"], samples["value"]) == (0, 1)
    choices, temperature, samples, note = upscale.show_choices("hvae")
    assert (choices["visible"], note["visible"]) == (True, False)
    assert "value" not in temperature and "value" not in samples


# Compare


def test_compare_scores_a_reference(models: dict[str, SuperResolutionModel], small: Path) -> None:
    tab = CompareTab(models)
    Image.open(small).resize((64, 64)).save(small)
    gallery, table = tab.compare(str(small), ["nearest", "hvae"], True)
    assert [caption.split(" ")[0] for _, caption in gallery] == [
        *("reference", "input", "bicubic", "nearest"),
        *("input", "bicubic", "hvae"),
    ]
    assert {row[-1] for row in table["data"]} == {"x2, area", "x4, gaussian"}
    assert all(10 < row[1] < 60 and 0 < row[2] <= 1 for row in table["data"])
    assert "choose at least one" in refused(lambda: tab.compare(str(small), [], True))
    assert "choose one first" in refused(lambda: tab.compare(None, ["hvae"], False))


# Movie


def test_movie_reports_every_frame(models: dict[str, SuperResolutionModel], tmp_path: Path) -> None:
    said: list[tuple[int, int | None]] = []

    def progress(share: tuple[int, int | None], **_: Any) -> None:
        said.append(share)

    source = clip(tmp_path / "clip.mp4", 3)
    shown, _, file = MovieTab(models).movie(str(source), "nearest", progress=progress)
    assert said == [(1, 3), (2, 3), (3, 3)]
    assert shown == file and Path(file).name == "clip-x2.mp4"


def test_movie_keeps_its_limits(
    models: dict[str, SuperResolutionModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = MovieTab(models)
    source = clip(tmp_path / "clip.mp4", 4)
    assert "choose one first" in refused(lambda: tab.movie(None, "nearest"))
    monkeypatch.setattr(movie, "LARGEST_MOVIE", 32 * 24 * 3)
    assert "to 3 frames" in refused(lambda: tab.movie(str(source), "nearest"))
    monkeypatch.setattr(movie, "MOST_FRAMES", 3)
    assert "has 4 frames" in refused(lambda: tab.movie(str(source), "nearest"))


def test_the_fast_models_come_first_for_movies(models: dict[str, SuperResolutionModel]) -> None:
    backwards = dict(reversed(models.items()))
    assert next(iter(MovieTab(backwards).models)) == "nearest"


# Samples and levels


def test_samples_follow_their_seed(models: dict[str, SuperResolutionModel]) -> None:
    tab = SampleTab(models)
    assert list(tab.models) == ["joint"]
    images, file = tab.sample("joint", 3, 0.9, 1)
    assert len(images) == 3 and Path(file).name == "joint-seed1.png"
    assert tab.sample("joint", 3, 0.9, 1)[0][0].tobytes() == images[0].tobytes()
    assert tab.sample("joint", 3, 0.9, 2)[0][0].tobytes() != images[0].tobytes()
    assert "no seed" in refused(lambda: tab.sample("joint", 3, 0.9, None))


def test_interpolation_goes_between_two_seeds(models: dict[str, SuperResolutionModel]) -> None:
    tab = SampleTab(models)
    _, file = tab.interpolate("joint", 0.9, 1, 2, 4)
    assert Path(file).name == "joint-seed1-to-2.png"
    assert "two different seeds" in refused(lambda: tab.interpolate("joint", 0.9, 1, 1, 4))


def test_levels_with_and_without_an_image(
    models: dict[str, SuperResolutionModel], small: Path
) -> None:
    tab = LevelsTab(models)
    assert list(tab.models) == ["hvae", "joint"]
    rows, file = tab.levels("joint", 2, 0.9, 0)
    assert rows[0][1] == "Kept: nothing" and Path(file).name == "joint-levels-seed0.png"
    rows, file = tab.levels("hvae", 1, 0.9, 0, str(small))
    assert len(rows) >= 2 and Path(file).name == "small-levels-seed0.png"
    assert "only enlarges" in refused(lambda: tab.levels("hvae", 1, 0.9, 0))


def test_tabs_without_a_model_that_suits_them_are_not_shown() -> None:
    page = demo.build({"nearest": Nearest()})
    titles = [block.label for block in page.blocks.values() if isinstance(block, gr.Tab)]
    assert titles == ["Upscale", "Compare", "Movie"]


def test_work_is_refused_before_it_starts(
    upscale: UpscaleTab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_WORK", 100)
    Image.new("RGB", (20, 20)).save(tmp_path / "large.png")
    call = (str(tmp_path / "large.png"), "nearest", 1, 0, 0, False, SOMEONE)
    assert "shrink" in refused(lambda: upscale.upscale(*call))
