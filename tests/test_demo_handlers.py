"""Every handler of the demo, called as the page calls it, without a page and without a server."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from conftest import Nearest, shaken, tiny_hvae, tiny_lr_prior
from PIL import Image
from test_demo_movie import clip

from hvae_sr import demo, load
from hvae_sr.demo import catalogue, jobs, limits, movie, output
from hvae_sr.demo.compare import CompareTab
from hvae_sr.demo.levels import LevelsTab
from hvae_sr.demo.movie import MovieTab
from hvae_sr.demo.progress import Steps, clock
from hvae_sr.demo.sample import SampleTab
from hvae_sr.demo.upscale import UpscaleTab
from hvae_sr.errors import HvaeSrError
from hvae_sr.imaging.files import file_record
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


def asked(image: Any, model: str = "nearest", **changes: Any) -> tuple:
    """The arguments of `UpscaleTab.upscale`."""
    usual = {
        "num_samples": 1,
        "temperature": 0,
        "seed": 0,
        "consistent": False,
        "size": "model",
        "file_format": "PNG",
        "quality": 95,
        "shrink": False,
    }
    assert changes.keys() <= usual.keys()
    path = None if image is None else str(image)
    return (path, model, *{**usual, **changes}.values(), SOMEONE)


def chosen(index: Any) -> gr.SelectData:
    return gr.SelectData(None, {"index": index, "value": None})


# Upscale


@pytest.fixture
def upscale(models: dict[str, SuperResolutionModel]) -> UpscaleTab:
    return UpscaleTab(models)


def test_upscale_gives_larger_images_and_their_files(upscale: UpscaleTab, small: Path) -> None:
    (before, after), numbers, *_, archive, file = upscale.upscale(*asked(small))
    assert Image.open(before).size == Image.open(after).size == (48, 40)
    assert after == file and Path(file).name == "small-Nearest.png" and archive is None
    direct = Nearest().upscale(Image.open(small))
    assert Image.open(file).tobytes() == direct.tobytes()
    assert (numbers["input_width"], numbers["input_height"]) == (24, 20)
    assert (numbers["width"], numbers["height"], numbers["num_samples"]) == (48, 40, 1)
    assert (numbers["model"], numbers["temperature"], numbers["seed"]) == ("Nearest", 0, None)
    json.dumps(numbers, allow_nan=False)


def test_upscale_draws_samples_and_shows_the_one_that_is_chosen(
    upscale: UpscaleTab, small: Path
) -> None:
    wish = asked(small, "hvae", num_samples=3, temperature=1, seed=7)
    first, *_ = upscale.upscale(*wish)
    again, _, samples, std_map, archive, _ = upscale.upscale(*wish)
    assert Image.open(first[1]).tobytes() == Image.open(again[1]).tobytes()
    assert len(samples) == 3 and std_map is not None and std_map.size == (96, 80)
    shown, numbers, file = upscale.show_sample(SOMEONE, chosen(1))
    assert shown[1] == file == samples[1][0] and numbers["sample"] == 2
    assert Path(file).name == "small-HVAE-T1-seed7-sample2.png"
    assert upscale.show_samples(SOMEONE)[0]["visible"]
    assert not upscale.show_samples(NOBODY)[0]["visible"]
    assert archive is not None
    with zipfile.ZipFile(archive) as bundle:
        assert bundle.namelist() == [Path(path).name for path, _ in samples]
        assert bundle.read(bundle.namelist()[1]) == Path(file).read_bytes()


def test_at_temperature_zero_one_answer_is_computed(upscale: UpscaleTab, small: Path) -> None:
    for model in ("nearest", "hvae"):
        _, numbers, samples, std_map, archive, _ = upscale.upscale(
            *asked(small, model, num_samples=5)
        )
        assert numbers["num_samples"] == 1
        assert (samples, std_map, archive) == ([], None, None)


def test_samples_that_are_gone_or_never_were_are_refused(upscale: UpscaleTab, small: Path) -> None:
    assert "no longer kept" in refused(lambda: upscale.show_sample(SOMEONE, chosen(0)))
    wish = asked(small, "hvae", num_samples=2, temperature=1)
    (before, _), *_ = upscale.upscale(*wish)
    for index in (-1, 2, "0", True, None):
        assert "one of the 2" in refused(lambda i=index: upscale.show_sample(SOMEONE, chosen(i)))
    assert "no longer kept" in refused(lambda: upscale.show_sample(NOBODY, chosen(0)))
    Path(before).unlink()
    assert "no longer kept" in refused(lambda: upscale.show_sample(SOMEONE, chosen(0)))


def test_upscale_refuses_what_it_cannot_do(
    upscale: UpscaleTab, small: Path, tmp_path: Path
) -> None:
    def said(image: Any, model: str = "nearest", **changes: Any) -> str:
        return refused(lambda: upscale.upscale(*asked(image, model, **changes)))

    assert "choose one first" in said(None)
    assert "choose one first" in said(tmp_path / "gone.png")
    (tmp_path / "bad.png").write_text("not an image")
    assert "bad.png" in said(tmp_path / "bad.png")
    assert "has one answer" in said(small, "nearest", temperature=0.5)
    assert "no seed" in said(small, "hvae", seed=None)
    assert "at most 48x40" in said(small, size="3x")
    assert "at most 48x40" in said(small, size="4k")
    assert "is not a size" in said(small, size="huge")
    Image.new("RGBA", (8, 8)).save(tmp_path / "clear.png")
    assert "transparency" in said(tmp_path / "clear.png", file_format="JPEG")


@pytest.mark.parametrize(
    ("file_format", "suffix"),
    [("PNG", ".png"), ("JPEG", ".jpg"), ("WebP", ".webp"), ("TIFF", ".tif")],
)
def test_answers_are_saved_as_asked(
    file_format: str, suffix: str, upscale: UpscaleTab, small: Path
) -> None:
    (_, shown), *_, file = upscale.upscale(*asked(small, file_format=file_format, quality=40))
    assert Path(file).name == f"small-Nearest{suffix}"
    with Image.open(file) as image:
        assert (image.format, image.size) == (file_format.upper(), (48, 40))
    assert Path(shown).suffix == ".png"  # what every browser shows
    record = file_record(Path(file))
    assert record is not None
    assert record["quality"] == (40 if file_format in ("JPEG", "WebP") else None)


@pytest.mark.parametrize(
    ("size", "expected"),
    [("1.5x", (36, 30)), ("x2", (48, 40)), ("40x1000", (40, 33)), ("1x", (24, 20))],
)
def test_answers_have_the_size_that_was_asked_for(
    size: str, expected: tuple[int, int], upscale: UpscaleTab, small: Path
) -> None:
    (before, _), numbers, *_, file = upscale.upscale(*asked(small, size=size))
    assert Image.open(file).size == Image.open(before).size == expected
    assert (numbers["width"], numbers["height"]) == expected
    assert f"{expected[0]}x{expected[1]}" in Path(file).name


def test_a_large_answer_is_shown_reduced_and_saved_whole(
    upscale: UpscaleTab, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LARGEST_PREVIEW", 1000)
    monkeypatch.setattr(output, "PREVIEW", 32)
    (before, after), numbers, *_, file = upscale.upscale(*asked(small))
    assert Image.open(before).size == Image.open(after).size == (32, 27)
    assert Image.open(file).tobytes() == Nearest().upscale(Image.open(small)).tobytes()
    assert numbers["reduced"] and numbers["lr_psnr"] is None


def test_work_is_bounded_by_what_it_costs(
    upscale: UpscaleTab, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hvae = upscale.models["hvae"]
    monkeypatch.setattr(limits, "LARGEST_COST", 300 * limits.operations(hvae))
    message = refused(lambda: upscale.upscale(*asked(small, "hvae")))
    assert "the image is 24x20" in message and "shrink it to 18x15" in message
    assert limits.largest([limits.Work(hvae)]) in (299, 300)
    upscale.upscale(*asked(small))  # which costs nothing
    _, numbers, *_, file = upscale.upscale(*asked(small, "hvae", shrink=True))
    assert (numbers["width"], numbers["height"], numbers["shrunk"]) == (72, 60, True)
    record = file_record(Path(file))
    assert record is not None and record["shrunk"] == [18, 15]
    message = refused(lambda: upscale.upscale(*asked(small, "hvae", num_samples=2, temperature=1)))
    assert "fewer samples" in message


def test_the_page_says_the_limit_before_an_upload(upscale: UpscaleTab) -> None:
    one, several = (upscale.show_limit("hvae", n, 1) for n in (1, 16))
    found = [float(re.search(r"([\d.]+) megapixels", each)[1]) for each in (one, several)]  # type: ignore[index]
    assert found[0] > found[1] > 0
    assert upscale.show_limit("hvae", 16, 0) == one  # at temperature 0 there is one answer


def test_a_phones_photograph_is_taken_by_the_first_model_of_the_menu() -> None:
    model = load(catalogue.FIRST[0])
    assert limits.largest([limits.Work(model)]) >= 4096 * 3072
    assert limits.megapixels(limits.largest([limits.Work(load("photo-hvae-x4"))])) < "3"


def test_long_work_leaves_room_for_short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    model = shaken(tiny_hvae())
    monkeypatch.setattr(jobs, "SHORT", 100 * limits.operations(model))
    with jobs.turn({model: 101}):
        with pytest.raises(HvaeSrError, match="another large image"), jobs.turn({model: 101}):
            pass
        with jobs.turn({model: 100}):
            pass
    with jobs.turn({model: 101}):
        pass


def test_progress_is_told_in_steps_and_time() -> None:
    said: list[tuple[Any, str]] = []

    def report(share: Any, desc: str, unit: str) -> None:
        said.append((share, desc))

    steps = Steps(report, "Upscaling")
    steps(1, 4)
    steps(4, 4)
    steps(5, None)
    assert [share for share, _ in said] == [(1, 4), (4, 4), (5, None)]
    assert re.fullmatch(r"Upscaling, \d+ s passed, about \d+ s left", said[0][1])
    assert all("left" not in desc for _, desc in said[1:])
    assert clock(125.2) == "2 min 5 s"


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


def test_compare_counts_every_model_at_its_own_scale() -> None:
    double, quadruple = Nearest(2), Nearest(4)
    assert limits.operations(double) == limits.operations(quadruple) == 1
    tab = CompareTab({"x2": double, "x4": quadruple})
    most = limits.LARGEST_SHOWN
    assert tab._largest(["x2"], False) == most // 4
    assert tab._largest(["x4"], False) == most // 16
    assert tab._largest(["x2", "x4"], False) == most // 20
    assert tab._largest(["x2", "x4"], True) == most // 2  # each restores what was shrunk for it
    assert "1.6 megapixels" in tab.show_limit(["x2", "x4"], False)
    assert "at least one" in tab.show_limit([], False)


def test_compare_keeps_its_limit(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tab = CompareTab({"x2": Nearest(2)})
    monkeypatch.setattr(limits, "LARGEST_SHOWN", 400)
    message = refused(lambda: tab.compare(str(small), ["x2"], False))
    assert "the image is 24x20" in message and "choose fewer models" in message


# Movie


def test_movie_reports_every_frame(models: dict[str, SuperResolutionModel], tmp_path: Path) -> None:
    said: list[tuple[int, int | None]] = []

    def progress(share: tuple[int, int | None], **_: Any) -> None:
        said.append(share)

    source = clip(tmp_path / "clip.mp4", 3)
    shown, numbers, file = MovieTab(models).movie(str(source), "nearest", progress=progress)
    assert said == [(1, 3), (2, 3), (3, 3)]
    assert shown == file and Path(file).name == "clip-x2.mp4"
    assert (numbers["width"], numbers["height"], numbers["frames"]) == (64, 48, 3)


def test_movie_keeps_its_limits(
    models: dict[str, SuperResolutionModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = MovieTab(models)
    source = clip(tmp_path / "clip.mp4", 4)
    assert "choose one first" in refused(lambda: tab.movie(None, "nearest"))
    monkeypatch.setattr(movie, "LARGEST_COST", 32 * 24 * 3)  # of which a pixel costs one
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
    images, file, numbers = tab.sample("joint", 3, 0.9, 1)
    assert numbers == {"model": "joint", "temperature": 0.9, "seed": 1}
    assert len(images) == 3 and Path(file).name == "joint-seed1.png"
    assert tab.sample("joint", 3, 0.9, 1)[0][0].tobytes() == images[0].tobytes()
    assert tab.sample("joint", 3, 0.9, 2)[0][0].tobytes() != images[0].tobytes()
    assert "no seed" in refused(lambda: tab.sample("joint", 3, 0.9, None))


def test_interpolation_goes_between_two_seeds(models: dict[str, SuperResolutionModel]) -> None:
    tab = SampleTab(models)
    _, file, numbers = tab.interpolate("joint", 0.9, 1, 2, 4)
    assert (numbers["seed"], numbers["end_seed"]) == (1, "2")
    assert Path(file).name == "joint-seed1-to-2.png"
    assert "two different seeds" in refused(lambda: tab.interpolate("joint", 0.9, 1, 1, 4))


def test_levels_with_and_without_an_image(
    models: dict[str, SuperResolutionModel], small: Path
) -> None:
    tab = LevelsTab(models)
    assert list(tab.models) == ["hvae", "joint"]
    rows, file, numbers = tab.levels("joint", 2, 0.9, 0)
    assert (numbers["model"], numbers["seed"], numbers["others"]) == ("joint", 0, 2)
    assert rows[0][1] == "Kept: nothing" and Path(file).name == "joint-levels-seed0.png"
    rows, file, _ = tab.levels("hvae", 1, 0.9, 0, str(small))
    assert len(rows) >= 2 and Path(file).name == "small-levels-seed0.png"
    assert "only enlarges" in refused(lambda: tab.levels("hvae", 1, 0.9, 0))


def test_tabs_without_a_model_that_suits_them_are_not_shown() -> None:
    page = demo.build({"nearest": Nearest()})
    titles = [block.label for block in page.blocks.values() if isinstance(block, gr.Tab)]
    assert titles == ["Upscale", "Batch", "Movie", "Compare"]


def test_sizes_are_those_of_the_upright_image(upscale: UpscaleTab, small: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = small.with_name("turned.jpg")
    Image.open(small).save(turned, exif=exif)
    _, numbers, *_, file = upscale.upscale(*asked(turned, size="30x40"))
    assert (numbers["input_width"], numbers["input_height"]) == (20, 24)
    assert Image.open(file).size == (30, 36)
