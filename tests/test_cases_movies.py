"""Movies as people have them: what becomes of each kind, and of the shared cases of them."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from conftest import Nearest
from movie_kinds import FRAMES, STEADY, film, joined

from hvae_sr.errors import MovieError
from hvae_sr.imaging.video import is_movie
from hvae_sr.imaging.video.copying import suffix_for
from hvae_sr.imaging.video.timing import Stamps, timeline
from hvae_sr.upscaling.video import upscale_movie

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
SHIFTED = 0.05  # seconds by which sound may begin before the picture, or containers shift both


class Never(Nearest):
    """A model that must not be reached."""

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        pytest.fail("the model ran")


def shown(path: Path) -> list[float]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as movie:
        return [float(frame.pts * frame.time_base) for frame in movie.decode(video=0)]


def codecs(path: Path) -> list[str]:
    """Of the streams beside the video."""
    with av.open(str(path)) as movie:
        return [
            stream.codec_context.codec.canonical_name
            for stream in movie.streams
            if stream.type in ("audio", "subtitle")
        ]


def packets(path: Path, kind: str = "audio") -> list[bytes]:
    with av.open(str(path)) as movie:
        (stream,) = (stream for stream in movie.streams if stream.type == kind)
        return [bytes(packet) for packet in movie.demux(stream) if packet.size]


def same_sound(source: Path, target: Path) -> bool:
    """Whether the packets are the same, save for the headers that AAC has in transport streams."""
    given, copied = packets(source), packets(target)
    return all(a.endswith(b) for a, b in zip(given, copied, strict=True))


def checked(source: Path, target: Path, frames: int, seconds: float) -> None:
    """Upscale a movie: every frame is there, in time and from 0 on; and its output once more."""
    upscale_movie(source, target, Nearest())
    times = shown(target)
    assert len(times) == frames
    assert times == sorted(set(times))
    assert 0 <= times[0] < 2 * SHIFTED
    assert times[-1] < seconds + SHIFTED
    again = target.with_name(f"again-{target.name}")
    upscale_movie(target, again, Nearest())
    assert shown(again) == pytest.approx(times, abs=0.002)
    assert codecs(again) == codecs(target)


# The streams beside the video that come out, by the suffix of the output; None: by default.
SHARED: dict[str, dict[str | None, list[str]]] = {
    "base.mp4": {None: ["aac"], ".mkv": ["aac"]},
    "recording_late.ts": {None: ["aac"], ".mp4": ["aac"]},
    "starts_at_5s.mkv": {None: ["aac"], ".mov": ["aac"]},
    "film_with_subtitles.mp4": {None: ["aac", "mov_text"], ".mkv": ["aac", "subrip"]},
    "film_with_subtitles.m4v": {None: ["aac", "mov_text"], ".mkv": ["aac", "subrip"]},
    "windows_media.wmv": {None: ["wmav2"], ".mkv": ["wmav2"]},
    "camera_adpcm.avi": {None: ["adpcm_ms"], ".mkv": ["adpcm_ms"]},
    "h264_bframes.avi": {None: ["mp3"], ".mp4": ["mp3"]},
    "two_frames_in_one_millisecond.webm": {None: [], ".mkv": [], ".mp4": []},
    "dvd.vob": {None: ["mp2"], ".mkv": ["mp2"]},
    "phone_tags.mov": {None: ["aac"], ".mp4": ["aac"]},
}
REFUSED = {"alpha_vp9.webm": "transparency", "interlaced_after_2s.mpg": "is interlaced"}


@pytest.mark.parametrize(
    ("name", "suffix"), [(name, suffix) for name, each in SHARED.items() for suffix in each]
)
def test_a_shared_case_has_its_right_outcome(name: str, suffix: str | None, tmp_path: Path) -> None:
    source = CASES / name
    if not source.is_file():
        pytest.skip("the shared cases are not here")
    target = tmp_path / f"out{suffix or suffix_for(source)}"
    checked(source, target, 25, 1.0)
    assert codecs(target) == SHARED[name][suffix]
    if codecs(source)[:1] == codecs(target)[:1] != []:
        assert same_sound(source, target)


@pytest.mark.parametrize("name", REFUSED)
def test_a_shared_case_is_refused_before_the_work(name: str, tmp_path: Path) -> None:
    if not (CASES / name).is_file():
        pytest.skip("the shared cases are not here")
    with pytest.raises(MovieError, match=REFUSED[name]):
        upscale_movie(CASES / name, tmp_path / "out.mkv", Never())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_every_shared_movie_is_in_a_table() -> None:
    assert {path.name for path in CASES.iterdir() if is_movie(path)} == {*SHARED, *REFUSED}


KINDS: dict[str, dict[str, Any]] = {
    "late.mkv": {"sound": "aac", "start": 7.5},
    "late.ts": {"sound": "aac", "start": 50000},
    "late.webm": {"codec": "libvpx", "sound": "libopus", "start": 9},
    "late.mp4": {"sound": "aac", "start": 3},
    "late.flv": {"codec": "flv", "sound": "libmp3lame", "start": 5, "hertz": 44100},
    "disc.vob": {"codec": "mpeg2video", "sound": "mp2", "container": "vob"},
    "disc.mpg": {"codec": "mpeg1video", "sound": "mp2"},
    "windows.asf": {"codec": "msmpeg4v3", "sound": "wmav2", "container": "asf", "hertz": 44100},
    "windows.wmv": {"codec": "wmv2", "sound": "wmav1", "container": "asf", "hertz": 44100},
    "flash.f4v": {"sound": "aac", "container": "f4v"},
    "phone.3g2": {"codec": "mpeg4", "sound": "libopencore_amrnb", "hertz": 8000},
    "phone.3gp": {"codec": "mpeg4", "sound": "libopencore_amrnb", "hertz": 8000},
    "phone.mov": {"sound": "libopencore_amrnb", "hertz": 8000},
    "bare.m2v": {"codec": "mpeg2video", "container": "mpeg2video"},
    "bare.m1v": {"codec": "mpeg1video", "container": "mpeg1video"},
    "studio.mxf": {"codec": "mpeg2video", "sound": "pcm_s16le"},
    "old.divx": {"codec": "mpeg4", "sound": "libmp3lame", "container": "avi"},
    "mulaw.avi": {"codec": "mpeg4", "sound": "pcm_mulaw", "hertz": 8000},
    "alaw.avi": {"codec": "mpeg4", "sound": "pcm_alaw", "hertz": 8000},
    "adpcm.avi": {"codec": "mpeg4", "sound": "adpcm_ima_wav", "hertz": 22050},
    "mulaw.mov": {"sound": "pcm_mulaw", "hertz": 8000},
    "camera.qt": {
        "codec": "mjpeg",
        "pix_fmt": "yuvj420p",
        "sound": "pcm_s16be",
        "container": "mov",
    },
    "camera.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "sound": "pcm_u8", "hertz": 8000},
    "tape.m2t": {"codec": "mpeg2video", "sound": "mp2", "container": "mpegts"},
    "reordered.avi": {"codec": "mpeg4", "options": {"bf": "2"}, "sound": "libmp3lame"},
    "h264.avi": {"sound": "libmp3lame"},
    "equal.mkv": {"codec": "libvpx", "times": [*STEADY[:4], STEADY[3], *STEADY[5:]]},
    "three.mkv": {"codec": "libvpx", "times": [0, 0, 0, *STEADY[3:]]},
    "unordered.mkv": {"codec": "libvpx", "times": [0, 80, 40, *STEADY[3:]]},
}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_of_movie_is_upscaled_whole(name: str, tmp_path: Path) -> None:
    source = film(tmp_path / name, **KINDS[name])
    assert is_movie(source)
    target = tmp_path / f"out{suffix_for(source)}"
    checked(source, target, FRAMES, 0.6)
    assert codecs(target) == codecs(source)
    if codecs(source):
        assert same_sound(source, target)


@pytest.mark.parametrize("name", ["mulaw.avi", "phone.3gp", "studio.mxf"])
def test_sound_that_mp4_cannot_hold_is_refused_before_the_work(name: str, tmp_path: Path) -> None:
    source = film(tmp_path / name, **KINDS[name])
    with pytest.raises(MovieError, match=r"\.mp4 cannot hold stream 1 .*write .*\.mkv"):
        upscale_movie(source, tmp_path / "out.mp4", Never())
    assert list(tmp_path.iterdir()) == [source]


def test_a_path_with_the_letters_of_the_tee_muxer(tmp_path: Path) -> None:
    folder = tmp_path / r"it's [f=avi]|a\b: c"
    folder.mkdir()
    source = film(folder / "in.avi", **KINDS["mulaw.avi"])
    upscale_movie(source, folder / "out.mkv", Nearest())
    assert sorted(path.name for path in folder.iterdir()) == ["in.avi", "out.mkv"]
    assert packets(folder / "out.mkv") == packets(source)


@pytest.mark.parametrize(
    ("source", "target", "codec", "line"),
    [
        ("subrip", ".mp4", "mov_text", b"Gr\xc3\xbc\xc3\x9fe"),
        ("subrip", ".mov", "mov_text", b"Gr\xc3\xbc\xc3\x9fe"),
        ("subrip", ".mkv", "subrip", b"<i>Gr\xc3\xbc\xc3\x9fe</i>"),
        ("subrip", ".webm", "webvtt", b"<i>Gr\xc3\xbc\xc3\x9fe</i>"),
        ("webvtt", ".mp4", "mov_text", b"Gr\xc3\xbc\xc3\x9fe"),
    ],
)
def test_subtitles_become_those_of_the_container(
    source: str, target: str, codec: str, line: bytes, tmp_path: Path
) -> None:
    first = film(tmp_path / "in.mkv", words=(source, "<i>Grüße</i>"))
    out = tmp_path / f"out{target}"
    upscale_movie(first, out, Nearest())
    assert codecs(out) == [codec]
    assert any(line in packet for packet in packets(out, "subtitle"))
    upscale_movie(out, tmp_path / "back.mkv", Nearest())
    back = packets(tmp_path / "back.mkv", "subtitle")
    assert back == [b"<i>Gr\xc3\xbc\xc3\x9fe</i>"]


def cut_in_two(folder: Path) -> Iterator[tuple[Path, str]]:
    """Movies whose second half is not like the first, and why they are refused."""

    def large(stream: Any) -> None:
        stream.width, stream.height = 96, 64

    bare = {"codec": "mpeg2video", "container": "mpeg2video"}
    plain = film(folder / "1.m2v", **bare)
    bigger = film(folder / "2.m2v", **bare, prepare=large)
    fields = film(folder / "3.m2v", **bare, options={"flags": "+ilme+ildct"})
    early = film(folder / "4.ts", start=100)
    late = film(folder / "5.ts", start=10)
    yield joined(folder / "sizes.m2v", plain, bigger), "frames of several sizes"
    yield joined(folder / "fields.m2v", plain, fields), "is interlaced"
    yield joined(folder / "clocks.ts", early, late), "gap of 26 hours"  # a clock that wraps


@pytest.mark.parametrize("index", range(3))
def test_what_changes_on_the_way_is_refused_before_the_work(index: int, tmp_path: Path) -> None:
    source, reason = list(cut_in_two(tmp_path))[index]
    with pytest.raises(MovieError, match=reason):
        upscale_movie(source, tmp_path / "out.mkv", Never())
    assert not (tmp_path / "out.mkv").exists()


def test_transparency_beside_the_colours_is_refused(tmp_path: Path) -> None:
    source = film(tmp_path / "in.webm", "libvpx-vp9", pix_fmt="yuva420p")
    with pytest.raises(MovieError, match="transparency"):
        upscale_movie(source, tmp_path / "out.webm", Never())


TAGS = {
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 15",
    "com.apple.quicktime.location.ISO6709": "+52.5200+013.4050/",
    "com.apple.quicktime.creationdate": "2024-05-01T12:00:00+0200",
}


@pytest.mark.parametrize("suffixes", [(".mov",), (".mp4",), (".mkv", ".mov")])
def test_tags_of_phones_are_kept(suffixes: tuple[str, ...], tmp_path: Path) -> None:
    path = film(tmp_path / "in.mov", tags=TAGS)
    for suffix in suffixes:
        upscale_movie(path, path.with_name(f"out{suffix}"), Nearest())
        path = path.with_name(f"out{suffix}")
    with av.open(str(path)) as movie:
        assert TAGS.items() <= dict(movie.metadata).items()


def line(*times: int | None, dts: list[int | None] | None = None) -> list[float]:
    decoded = dts or [None] * len(times)
    stamps = [Stamps(pts, each, 0) for pts, each in zip(times, decoded, strict=True)]
    made = timeline(stamps, Fraction(1, 1000), Fraction(25), None, "film")
    return [float(1000 * time * made.time_base) for time in made.shown]


def test_stamps_are_mended_by_a_stated_rule() -> None:
    assert line(7, 47, 87) == [0, 40, 80]
    assert line(0, 80, 40, 120) == [0, 40, 80, 120]
    assert line(0, 40, 40, 80) == [0, 40, 60, 80]
    assert line(0, 1, 1, 2) == [0, 1, 1.5, 2]
    assert line(0, None, None, 120) == [0, 40, 80, 120]
    assert line(5, 5, 5, dts=[5, 45, 85]) == [0, 40, 80]
    assert line(None, None) == [0, 40]
    with pytest.raises(MovieError, match=r"film has a clock that jumps back by 5\.0 seconds"):
        line(0, 5000, 0, 40)
