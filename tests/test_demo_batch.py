"""The demo's batches: several files in, one zip out, and a sentence for each that fails."""

import zipfile
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from conftest import Nearest, refusal
from gradio_client import Client, handle_file
from PIL import Image
from test_demo_handlers import refused

from hvae_sr.demo import batch, cache, limits
from hvae_sr.demo.batch import BatchTab

REST = ("model", "PNG", 95, False)


@pytest.fixture
def tab() -> BatchTab:
    return BatchTab({"nearest": Nearest()})


@pytest.fixture
def files(small: Path, tmp_path: Path) -> list[str]:
    """Two images of one name, 24 x 20 and 8 x 8, and between them a file that is none."""
    (tmp_path / "other").mkdir()
    same = tmp_path / "other" / "small.png"
    Image.new("RGB", (8, 8), "red").save(same)
    (tmp_path / "bad.png").write_text("not an image")
    return [str(small), str(tmp_path / "bad.png"), str(same)]


def test_the_good_ones_are_done_and_the_bad_one_is_named(tab: BatchTab, files: list[str]) -> None:
    said: list[Any] = []
    views, table, numbers, archive = tab.batch(
        files, "nearest", *REST, progress=lambda share, **_: said.append(share)
    )
    assert [Image.open(path).size for path, _ in views] == [(48, 40), (16, 16)]
    results = [tuple(row) for row in table["data"]]
    assert results[0] == ("small.png", "48 x 40") and results[2] == ("small.png", "16 x 16")
    assert results[1][0] == "bad.png" and "bad.png is not an image" in results[1][1]
    assert "/" not in results[1][1]
    assert (numbers["files"], numbers["done"], numbers["model"]) == (3, 2, "nearest")
    assert said and said[-1] == (24 * 20 + 64, 24 * 20 + 64)
    assert Path(archive).name == "3-images-nearest.zip"
    with zipfile.ZipFile(archive) as bundle:
        assert bundle.namelist() == ["small-Nearest.png", "small-Nearest-2.png"]
        with bundle.open("small-Nearest.png") as file:
            assert Image.open(file).tobytes() == Nearest().upscale(Image.open(files[0])).tobytes()


def test_answers_lie_in_the_zip_alone(tab: BatchTab, files: list[str]) -> None:
    before = set(cache.own_folder().rglob("*-Nearest.jpg"))
    *_, archive = tab.batch(files, "nearest", "1.5x", "JPEG", 50, False)
    with zipfile.ZipFile(archive) as bundle:
        assert bundle.namelist() == ["small-Nearest-36x30.jpg", "small-Nearest-12x12.jpg"]
    assert set(cache.own_folder().rglob("*-Nearest.jpg")) == before


def test_a_batch_is_bounded_by_its_cost(
    tab: BatchTab, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "LARGEST_COST", 24 * 20 + 200)  # of which a pixel costs one
    _, table, numbers, _ = tab.batch([str(small)] * 2, "nearest", *REST)
    assert numbers["done"] == 1 and "at most" in table["data"][1][1]
    _, table, numbers, _ = tab.batch([str(small)] * 2, "nearest", *REST[:3], True)
    assert numbers["done"] == 2
    widths = [int(row[1].split(" x ")[0]) for row in table["data"]]
    assert all(20 < width < 48 for width in widths)
    assert abs(widths[0] - widths[1]) <= 2  # each has its share


def test_what_is_no_batch_is_refused(tab: BatchTab, files: list[str]) -> None:
    assert "choose some first" in refused(lambda: tab.batch([], "nearest", *REST))
    assert "choose some first" in refused(lambda: tab.batch(None, "nearest", *REST))
    many = [files[0]] * (batch.MOST_FILES + 1)
    assert "at most 16" in refused(lambda: tab.batch(many, "nearest", *REST))
    assert "bad.png" in refused(lambda: tab.batch(files[1:2], "nearest", *REST))


def test_a_job_that_is_stopped_stops_the_batch(
    tab: BatchTab, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        raise gr.Error("stopped")

    monkeypatch.setattr(batch.jobs, "check", stopped)
    assert "stopped" in refused(lambda: tab.batch(files, "nearest", *REST))


def test_the_page_says_the_limits(tab: BatchTab) -> None:
    said = tab.show_limit("nearest")
    assert "16 images" in said and "32 MB" in said and "megapixels" in said
    each = limits.megapixels(limits.largest([limits.Work(tab.models["nearest"])]))
    assert f"{each} each" in said


def test_visitors_send_several_files(client: Client, files: list[str]) -> None:
    sent = [handle_file(path) for path in files]
    views, table, numbers, archive = client.predict(images=sent, api_name="/batch")
    assert len(views) == numbers["done"] == 2
    assert [row[0] for row in table["data"]] == ["small.png", "bad.png", "small.png"]
    with zipfile.ZipFile(archive) as bundle:
        assert len(bundle.namelist()) == 2
    refusal(lambda: client.predict(images=[{"path": "/etc/hostname"}], api_name="/batch"))
