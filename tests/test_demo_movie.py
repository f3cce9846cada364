"""The demo's movies: sound, progress, cancelling, limits."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from conftest import Nearest, refusal
from gradio_client import Client, handle_file
from gradio_client.client import Job
from test_movies import blobs, frames, hum, make, packets, rich

from hvae_sr.demo import cache, catalogue, movie

Movie = Callable[..., tuple]


@pytest.fixture
def upscale(client: Client) -> Movie:
    def call(path: Path, **choices: Any) -> tuple:
        return client.predict(handle_file(path), api_name="/movie", **choices)

    return call


def clip(path: Path, count: int, width: int = 32, height: int = 24) -> Path:
    return make(path, list(range(0, 40 * count, 40)), picture=lambda i: blobs(i, width, height))


def started(client: Client, path: Path) -> Job:
    """A job whose first frame is done."""
    job = client.submit(handle_file(path), api_name="/movie")
    while not told(job):
        assert not job.done()
        time.sleep(0.02)
    return job


def told(job: Job) -> list[tuple[int, int]]:
    """Frames done, and of how many, as the last status of a job says."""
    return [(int(each.index), int(each.length)) for each in job.status().progress_data or ()]


def leftovers(path: Path) -> list[Path]:
    """What the server keeps of the answer to a clip, once its work has ended."""
    wait = time.monotonic() + 20

    def found() -> list[Path]:
        folder = cache.own_folder()
        return [*folder.rglob("*.partial"), *folder.rglob(f"{path.stem}-x*")]

    while found() and time.monotonic() < wait:
        time.sleep(0.05)
    return found()


def test_sound_is_copied_and_frames_are_larger(upscale: Movie, tmp_path: Path) -> None:
    source = rich(tmp_path / "film.mkv")
    result, numbers, download = upscale(source)
    assert Path(result).name == Path(download).name == "film-x2.mp4"
    copied, given = packets(Path(result)), packets(source)
    assert [copied[index] for index in (1, 2)] == [given[index] for index in (1, 2)]
    assert {(frame.width, frame.height) for frame in frames(Path(result))} == {(64, 48)}
    assert (numbers["width"], numbers["height"], numbers["frames"]) == (64, 48, 6)


@pytest.mark.parametrize("generative", [False, True])
def test_models_of_both_kinds(generative: bool, upscale: Movie, tmp_path: Path) -> None:
    models = catalogue.bundled_models().items()
    name, scale = next((n, m.scale) for n, m in models if catalogue.can_sample(m) is generative)
    result, *_ = upscale(clip(tmp_path / "clip.mp4", 1), model=name)
    assert Path(result).suffix == ".mp4"
    assert frames(Path(result))[0].width == 32 * scale


def test_a_cancelled_movie_frees_its_place(client: Client, tmp_path: Path) -> None:
    long = clip(tmp_path / "long.mp4", 240, 96, 64)
    job = started(client, long)
    job.cancel()
    short = client.submit(handle_file(clip(tmp_path / "short.mp4", 2)), api_name="/movie")
    result, *_ = short.result(timeout=60)
    assert len(frames(Path(result))) == 2
    assert leftovers(long) == []


def test_images_do_not_wait_for_movies(client: Client, small: Path, tmp_path: Path) -> None:
    job = started(client, clip(tmp_path / "long.mp4", 240, 96, 64))
    client.predict(handle_file(small), api_name="/upscale")
    assert not job.done()
    job.cancel()


def test_limits(upscale: Movie, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    many = clip(tmp_path / "many.mp4", movie.MOST_FRAMES + 1)
    assert f"many.mp4 has {movie.MOST_FRAMES + 1} frames" in refusal(lambda: upscale(many))
    monkeypatch.setattr(movie, "LARGEST_FRAME", 32 * 24 - 1)
    large = clip(tmp_path / "large.mp4", 1)
    assert "has frames of 32x24: at most 767" in refusal(lambda: upscale(large))


def test_more_frames_than_promised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", 5)
    monkeypatch.setattr(movie, "MOST_FRAMES", 3)
    target = tmp_path / "folder" / "out.mp4"
    target.parent.mkdir()
    with pytest.raises(movie.MovieError, match="more frames than the 3 the demo takes"):
        movie.enlarge_movie(source, target, Nearest(), lambda done, total: None)
    assert not target.parent.exists()


def test_broken_movies_are_refused(upscale: Movie, client: Client, tmp_path: Path) -> None:
    assert "choose one" in refusal(lambda: client.predict(None, api_name="/movie"))
    whole = clip(tmp_path / "whole.mp4", 30).read_bytes()
    broken = tmp_path / "broken.mp4"
    for content in (b"", b"no movie", whole[: len(whole) // 2]):
        broken.write_bytes(content)
        assert "broken.mp4 is damaged" in refusal(lambda: upscale(broken))


def test_a_playlist_opens_nothing(upscale: Movie, tmp_path: Path) -> None:
    """Playlists and captions make decoders read other files and addresses."""
    sources = {
        "list.m3u8": f"#EXTM3U\n#EXTINF:1,\n{Path(__file__)}\n#EXT-X-ENDLIST\n",
        "list.mp4": f"ffconcat version 1.0\nfile '{Path(__file__)}'\n",
    }
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
        assert "damaged, cut short or not a movie" in refusal(
            lambda name=name: upscale(tmp_path / name)
        )


def test_sound_alone_is_no_movie(upscale: Movie, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as song:
        hum(song, song.add_stream("aac", rate=48000))
    assert "no video stream" in refusal(lambda: upscale(tmp_path / "song.mp4"))
