"""Movies that are refused before the work: gaps, packets without end, whatever decoders raise."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from test_movies import Watching, add_video, encode, make

from hvae_sr.errors import MovieError
from hvae_sr.imaging.video import reading, writing
from hvae_sr.upscaling.video import upscale_movie

DAY = 24 * 3600 * 1000  # milliseconds


def with_words(path: Path, times: list[int]) -> Path:
    """A short movie with a subtitle at each of these times, in milliseconds."""
    with av.open(str(path), "w") as movie:
        video = add_video(movie)
        text = movie.add_mux_stream("subrip", time_base=Fraction(1, 1000))
        encode(movie, video, [0, 40, 80])
        for time in times:
            words = av.Packet(b"a")
            words.pts = words.dts = time
            words.duration, words.time_base, words.stream = 1, Fraction(1, 1000), text
            movie.mux(words)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
def test_a_gap_of_500_days_is_refused_before_the_work(suffix: str, tmp_path: Path) -> None:
    source, model = make(tmp_path / "in.mkv", [0, 40, 500 * DAY, 500 * DAY + 40]), Watching()
    with pytest.raises(MovieError, match=r"in\.mkv has a gap of 12000 hours: cut it there"):
        upscale_movie(source, tmp_path / f"out{suffix}", model)
    assert not model.seen
    assert list(tmp_path.iterdir()) == [source]


def test_a_gap_in_another_stream_is_refused_too(tmp_path: Path) -> None:
    source = with_words(tmp_path / "in.mkv", [10, 500 * DAY])
    with pytest.raises(MovieError, match="gap of 12000 hours"):
        reading.survey(source)


def test_pauses_are_no_gaps(tmp_path: Path) -> None:
    source, model = make(tmp_path / "in.mkv", [0, 40, DAY // 8, DAY // 8 + 40]), Watching()
    upscale_movie(source, tmp_path / "out.mp4", model)
    assert model.seen


def test_reading_stops_after_the_most_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "in.mkv", list(range(0, 8000, 40)))
    assert reading.survey(source).frames == 200
    assert reading.survey(source, most=200).frames == 200
    followed = reading._followed
    read = []

    def counting(*arguments):
        for packet in followed(*arguments):
            read.append(packet)
            yield packet

    monkeypatch.setattr(reading, "_followed", counting)
    frames = reading.survey(source, most=100).frames
    assert frames is not None and 100 < frames == len(read) < 200


def test_packets_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = with_words(tmp_path / "in.mkv", list(range(100)))
    monkeypatch.setattr(reading, "PER_FRAME", 10)
    assert reading.survey(source).frames == 3
    with pytest.raises(MovieError, match=r"in\.mkv is cut into too many packets"):
        reading.survey(source, most=3)


@pytest.mark.parametrize(
    "error", [ValueError("odd"), KeyError("odd"), RuntimeError("odd"), MemoryError(), TypeError()]
)
def test_whatever_decoders_and_encoders_raise_is_one_sentence(error: Exception) -> None:
    path = Path("film.mp4")
    with pytest.raises(MovieError, match=r"film\.mp4 is damaged"), reading.readable(path):
        raise error
    with pytest.raises(MovieError, match=r"film\.mp4 could not be written"), writing.writable(path):
        raise error


def test_sentences_are_not_wrapped_in_others() -> None:
    path = Path("film.mp4")
    with pytest.raises(MovieError, match=r"^as it is$"), reading.readable(path):
        raise MovieError("as it is")
    with pytest.raises(MovieError, match=r"^as it is$"), writing.writable(path):
        raise MovieError("as it is")
