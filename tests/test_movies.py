"""Movies: times, sound, colours, refusals, and threads that always end."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from conftest import Nearest, shaken, tiny_hvae
from torch import Tensor

from hvae_sr.errors import MovieError
from hvae_sr.imaging.video import is_movie, reading, threads
from hvae_sr.upscaling import UpscaleOptions, Upscaler
from hvae_sr.upscaling.video import upscale_movie

BUNNY = Path(__file__).parents[2] / "shared" / "data" / "video" / "bigbuckbunny.mp4"
STEADY = [0, 40, 80, 120, 160, 200]
BARS = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (0, 0, 191)]

ImageSet = Callable[[int], np.ndarray]


def blobs(index: int, width: int = 32, height: int = 24) -> np.ndarray:
    """Soft RGB shades (h, w, 3) that move with the frame number."""
    y, x = np.mgrid[:height, :width]
    shades = [x * 6 + index * 5, y * 8, (x + y) * 3]
    return np.stack(shades, axis=-1).clip(20, 230).astype(np.uint8)


def add_video(movie: Any, codec: str = "libx264", width: int = 32, height: int = 24) -> Any:
    stream = movie.add_stream(codec, rate=25, options={"crf": "4"} if "264" in codec else {})
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    stream.codec_context.thread_count = 1
    return stream


def encode(movie: Any, stream: Any, times: list[int], picture: ImageSet = blobs) -> None:
    context = stream.codec_context
    for index, pts in enumerate(times):
        frame = av.VideoFrame.from_ndarray(picture(index), "rgb24").reformat(
            format=context.pix_fmt,
            dst_colorspace={1: 1, 6: 5}.get(context.colorspace, 5),
            src_color_range=2,
            dst_color_range=context.color_range or 1,
        )
        frame.colorspace, frame.color_range = context.colorspace, context.color_range
        frame.pts, frame.time_base = pts, Fraction(1, 1000)
        movie.mux(stream.encode(frame))
    movie.mux(stream.encode(None))


def hum(movie: Any, stream: Any, seconds: float = 0.25) -> None:
    """Fill a stream of sound with noise from time 0 on."""
    noise = np.random.default_rng(stream.index).standard_normal((1, int(96000 * seconds)))
    frame = av.AudioFrame.from_ndarray((noise * 3000).astype(np.int16), "s16", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    movie.mux([*stream.encode(frame), *stream.encode(None)])


def make(
    path: Path,
    times: list[int] = STEADY,
    *,
    codec: str = "libx264",
    picture: ImageSet = blobs,
    prepare: Callable[[Any, Any], None] = lambda movie, stream: None,
) -> Path:
    """A movie; `prepare` may change the container and the video stream before encoding."""
    height, width = picture(0).shape[:2]
    with av.open(str(path), "w") as movie:
        stream = add_video(movie, codec, width, height)
        prepare(movie, stream)
        encode(movie, stream, times, picture)
    return path


def rich(path: Path) -> Path:
    """Two languages of sound, a subtitle and its font, a chapter and a title."""
    with av.open(str(path), "w") as movie:
        movie.metadata["title"] = "A film"
        chapter = {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000)}
        movie.set_chapters([{**chapter, "metadata": {"title": "Start"}}])
        video = add_video(movie)
        sounds = [movie.add_stream("aac", rate=48000) for _ in range(2)]
        text = movie.add_mux_stream("subrip", time_base=Fraction(1, 1000))
        movie.add_attachment("a.ttf", "font/ttf", b"letters")
        for stream, language in zip([*sounds, text], ["eng", "deu", "fra"], strict=True):
            stream.metadata["language"] = language
        sounds[0].disposition = av.stream.Disposition.default
        text.disposition = av.stream.Disposition.forced
        for stream in sounds:
            hum(movie, stream)
        encode(movie, video, STEADY)
        words = av.Packet(b"Bonjour")
        words.pts = words.dts = 40
        words.duration, words.time_base, words.stream = 100, Fraction(1, 1000), text
        movie.mux(words)
    return path


def ycbcr(colour: tuple[int, int, int], matrix: int, extent: int) -> list[float]:
    """RGB in 0 to 255 -> YCbCr in 8 bits, by the definition of BT.709 and BT.601."""
    red, green, blue = (value / 255 for value in colour)
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}[matrix]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    if extent == 2:
        return [255 * luma, 128 + 255 * cb, 128 + 255 * cr]
    return [16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr]


def frames(path: Path) -> list[Any]:
    with av.open(str(path)) as movie:
        return list(movie.decode(video=0))


def times(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    return [frame.pts * frame.time_base for frame in frames(path)]


def packets(path: Path) -> dict[int, list[tuple[bytes, Fraction]]]:
    """Bytes and seconds of every packet that is not of the video, by stream."""
    found: dict[int, list[tuple[bytes, Fraction]]] = {}
    with av.open(str(path)) as movie:
        for packet in movie.demux():
            if packet.stream.type != "video" and packet.size:
                entry = (bytes(packet), packet.pts * packet.time_base)
                found.setdefault(packet.stream_index, []).append(entry)
    return found


def rgb(frame: Any) -> np.ndarray:
    """The image a player shows that obeys the frame's tags."""
    matrix = {1: 1, 6: 5}[frame.colorspace]
    reach = {"src_color_range": frame.color_range or 1, "dst_color_range": 2}
    return frame.reformat(format="rgb24", src_colorspace=matrix, **reach).to_ndarray()


class Watching(Nearest):
    """Remembers every frame it was given and has made; may be told to fail."""

    def __init__(self, scale: int = 2, degradation: str = "area"):
        super().__init__(scale, degradation)
        self.seen: list[Tensor] = []

    def forward(self, lr: Tensor) -> Tensor:
        self.seen.append(lr.clone())
        return super().forward(lr)


def only(folder: Path, *names: str) -> bool:
    """Whether nothing but these files is in the folder, and no thread of the pipeline is left."""
    alive = [thread for thread in threading.enumerate() if thread.name.startswith("hvae_sr")]
    return not alive and {path.name for path in folder.iterdir()} == set(names)


def test_a_movie_is_known_by_its_suffix_and_by_being_there(tmp_path: Path) -> None:
    (tmp_path / "a.MKV").touch()
    (tmp_path / "a.png").touch()
    (tmp_path / "folder.mp4").mkdir()
    assert is_movie(tmp_path / "a.MKV")
    for name in ("a.png", "folder.mp4", "missing.mp4"):
        assert not is_movie(tmp_path / name)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_every_frame_keeps_its_own_time(tmp_path: Path, suffix: str) -> None:
    uneven = [0, 40, 55, 210, 211, 700]
    source = make(tmp_path / f"in{suffix}", uneven)
    calls: list[tuple[int, int | None]] = []
    upscale_movie(
        source, tmp_path / f"out{suffix}", Nearest(), progress=lambda *call: calls.append(call)
    )
    assert times(tmp_path / f"out{suffix}") == times(source)
    assert [1000 * time for time in times(source)] == uneven
    assert calls == [(done, 6) for done in range(1, 7)]
    with av.open(str(source)) as before, av.open(str(tmp_path / f"out{suffix}")) as after:
        assert before.duration == after.duration


def test_the_picture_is_the_models(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4")
    upscale_movie(source, tmp_path / "out.mp4", Nearest())
    for before, after in zip(frames(source), frames(tmp_path / "out.mp4"), strict=True):
        assert (after.width, after.height) == (64, 48)
        wanted = rgb(after)[::2, ::2].astype(int)
        # The source names no matrix: at its size players take BT.601.
        got = before.reformat(format="rgb24", src_colorspace=5, dst_color_range=2).to_ndarray()
        assert np.abs(wanted - got).mean() < 3


def test_sound_subtitles_chapters_and_tags_are_copied(tmp_path: Path) -> None:
    source, target = rich(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    upscale_movie(source, target, Nearest(), UpscaleOptions(seed=3))
    assert packets(target) == packets(source)
    assert len(packets(source)) == 3
    with av.open(str(source)) as before, av.open(str(target)) as after:
        for old, new in zip(before.streams, after.streams, strict=True):
            assert (new.type, new.language, new.disposition) == (
                old.type,
                old.language,
                old.disposition,
            )
        assert [(a.name, a.data) for a in after.streams.attachments] == [("a.ttf", b"letters")]
        assert [c["metadata"] for c in after.chapters()] == [{"title": "Start"}]
        assert after.metadata["title"] == "A film"
        record = json.loads(after.metadata["COMMENT"].removeprefix("hvae_sr "))
        assert (record["model"], record["seed"], record["scale"]) == ("Nearest", None, 2)


def test_a_picture_that_starts_after_the_sound_stays_so(tmp_path: Path) -> None:
    def sound(movie: Any, stream: Any) -> None:
        hum(movie, movie.add_stream("aac", rate=48000))

    source = make(tmp_path / "in.mp4", [120, 160, 200, 240], prepare=sound)
    upscale_movie(source, tmp_path / "out.mp4", Nearest())
    assert times(tmp_path / "out.mp4") == times(source)
    assert packets(tmp_path / "out.mp4") == packets(source)
    assert times(source)[0] > 0


def test_a_stream_the_container_cannot_hold_is_named(tmp_path: Path) -> None:
    source = rich(tmp_path / "in.mkv")
    with pytest.raises(
        MovieError, match=r"\.webm cannot hold stream 1 .*\(aac.*write \.mp4 or \.mkv or \.mov$"
    ):
        upscale_movie(source, tmp_path / "out.webm", Nearest())
    with pytest.raises(MovieError, match=r"cannot write '\.avi', use one of \.mp4"):
        upscale_movie(source, tmp_path / "out.avi", Nearest())
    assert only(tmp_path, "in.mkv")


def test_webm_is_written_as_vp9(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", STEADY[:3])
    upscale_movie(source, tmp_path / "out.webm", Nearest())
    with av.open(str(tmp_path / "out.webm")) as movie:
        assert movie.streams.video[0].codec_context.name == "vp9"
    assert times(tmp_path / "out.webm") == times(source)


@pytest.mark.parametrize("tag", [1, 6], ids=["bt709", "smpte170m"])
@pytest.mark.parametrize("extent", [1, 2], ids=["limited", "full"])
def test_colours_come_back_as_they_were(tmp_path: Path, tag: int, extent: int) -> None:
    wanted = np.array([ycbcr(bar, tag, extent) for bar in BARS])
    bars = av.VideoFrame(len(BARS) * 16, 32, "yuv420p")
    bars.colorspace, bars.color_range = tag, extent
    for plane, values in zip(bars.planes, wanted.T.round().astype(np.uint8), strict=True):
        row = np.zeros(plane.line_size, np.uint8)
        row[: plane.width] = values.repeat(plane.width // len(BARS))
        plane.update(np.tile(row, plane.height).tobytes())
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as movie:
        stream = add_video(movie, width=bars.width, height=bars.height)
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = tag
        context.color_range = extent
        bars.pts, bars.time_base = 0, Fraction(1, 1000)
        movie.mux([*stream.encode(bars), *stream.encode(None)])

    model = Watching()
    upscale_movie(source, tmp_path / "out.mp4", model)
    frame = frames(tmp_path / "out.mp4")[0]
    found = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
    assert found == (tag, tag, tag, extent)
    for index, bar in enumerate(BARS):
        given = model.seen[0][0, :, 8:24, index * 16 + 4 : index * 16 + 12].mul(255)
        assert np.abs(given.mean(dim=(1, 2)).numpy() - bar).max() < 2
        for plane, value in zip(frame.planes, wanted[index], strict=True):
            shown = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width]
            width = plane.width // len(BARS)
            middle = shown[:, index * width + width // 4 : (index + 1) * width - width // 4]
            assert abs(middle[4:-4].mean() - value) < 2


def test_an_unnamed_matrix_is_named_so_that_a_larger_movie_looks_the_same(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", STEADY[:2])
    assert frames(source)[0].colorspace == 2
    upscale_movie(source, tmp_path / "out.mp4", Nearest())
    assert frames(tmp_path / "out.mp4")[0].colorspace == 6


def test_odd_sizes_repeat_their_last_row_and_column(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", STEADY[:2], codec="ffv1", picture=lambda i: blobs(i, 33, 25))
    upscale_movie(source, tmp_path / "out.mp4", Nearest(3))
    frame = frames(tmp_path / "out.mp4")[0]
    assert (frame.width, frame.height) == (100, 76)
    shown = rgb(frame).astype(int)
    assert np.abs(shown[-1] - shown[-2]).mean() < 3
    assert np.abs(shown[:, -1] - shown[:, -2]).mean() < 3


@pytest.mark.parametrize(
    ("size", "wanted", "seen"),
    [((50, 1000), (50, 38), 1), ((96, 96), (96, 72), 2), ((16, 16), (32, 24), 0)],
)
def test_size_fits_the_frames_into_a_box(
    tmp_path: Path, size: tuple[int, int], wanted: tuple[int, int], seen: int
) -> None:
    model = Watching()
    upscale_movie(
        make(tmp_path / "in.mp4", STEADY[:2]),
        tmp_path / "out.mp4",
        model,
        UpscaleOptions(size=size),
    )
    assert [(f.width, f.height) for f in frames(tmp_path / "out.mp4")] == [wanted] * 2
    assert len(model.seen) == 2 * seen


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotation_is_applied_to_the_pixels(tmp_path: Path, degrees: int) -> None:
    def turn(movie: Any, stream: Any) -> None:
        stream.set_display_rotation(degrees)
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    source = make(tmp_path / "in.mp4", STEADY[:2], prepare=turn)
    model = Watching()
    upscale_movie(source, tmp_path / "out.mp4", model)
    upright = np.rot90(blobs(0), degrees // 90)
    given = model.seen[0][0].permute(1, 2, 0).mul(255).numpy()
    assert given.shape == upright.shape
    assert np.abs(given - upright).mean() < 6
    assert not frames(tmp_path / "out.mp4")[0].rotation
    with av.open(str(tmp_path / "out.mp4")) as movie:
        aspect = movie.streams.video[0].sample_aspect_ratio
    assert aspect == (Fraction(4, 3) if degrees == 180 else Fraction(3, 4))


def test_mirroring_is_applied_to_the_pixels(tmp_path: Path) -> None:
    source = make(
        tmp_path / "in.mp4",
        STEADY[:1],
        prepare=lambda movie, stream: stream.set_display_rotation(0, hflip=True),
    )
    model = Watching()
    upscale_movie(source, tmp_path / "out.mp4", model)
    given = model.seen[0][0].permute(1, 2, 0).mul(255).numpy()
    assert np.abs(given - blobs(0)[:, ::-1]).mean() < 6


def test_a_still_movie_does_not_flicker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = shaken(tiny_hvae(2), 0.3)
    made: list[Tensor] = []
    images = Upscaler.images

    def watched(self: Any, image: Any) -> Any:
        made.append(images(self, image))
        return made[-1]

    monkeypatch.setattr(Upscaler, "images", watched)
    source = make(tmp_path / "in.mkv", STEADY[:4], codec="ffv1", picture=lambda index: blobs(0))
    upscale_movie(source, tmp_path / "out.mp4", model, UpscaleOptions(temperature=0.8, seed=1))
    assert len(made) == 4
    assert all(torch.equal(picture, made[0]) for picture in made)
    upscale_movie(source, tmp_path / "out.mp4", model, UpscaleOptions(temperature=0.8, seed=2))
    assert not torch.equal(made[-1], made[0])


def hdr(movie: Any, stream: Any) -> None:
    stream.codec_context.color_trc, stream.codec_context.color_primaries = 16, 9


def deep(movie: Any, stream: Any) -> None:
    stream.pix_fmt = "yuv420p10le"


def transparent(movie: Any, stream: Any) -> None:
    stream.pix_fmt = "yuva420p"


def interlaced(movie: Any, stream: Any) -> None:
    stream.codec_context.options = {"x264-params": "tff=1"}


def slanted(movie: Any, stream: Any) -> None:
    stream.set_display_rotation(30)


@pytest.mark.parametrize(
    ("prepare", "suffix", "codec", "reason"),
    [
        (hdr, ".mp4", "libx264", r"is HDR \(PQ\).*convert it to SDR"),
        (deep, ".mkv", "ffv1", "10 bits a colour"),
        (transparent, ".mkv", "ffv1", "transparency"),
        (interlaced, ".mp4", "libx264", "interlaced: deinterlace it"),
        (slanted, ".mp4", "libx264", "quarter turns"),
    ],
)
def test_what_cannot_be_done_well_is_refused(
    tmp_path: Path, prepare: Any, suffix: str, codec: str, reason: str
) -> None:
    source = make(tmp_path / f"in{suffix}", STEADY[:3], codec=codec, prepare=prepare)
    with pytest.raises(MovieError, match=reason):
        upscale_movie(source, tmp_path / "out.mp4", Nearest())
    assert only(tmp_path, source.name)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("layout", ["", "faststart"])
def test_a_movie_cut_short_is_refused_before_any_work(
    tmp_path: Path, suffix: str, layout: str
) -> None:
    source, model = tmp_path / f"in{suffix}", Watching()
    with av.open(str(source), "w", options={"movflags": layout} if layout else {}) as movie:
        encode(movie, add_video(movie), [200 * index for index in range(25)])
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MovieError, match="damaged"):
        upscale_movie(source, tmp_path / "out.mp4", model)
    assert only(tmp_path, source.name)
    assert not model.seen


def test_damage_inside_a_movie_is_one_clear_error(tmp_path: Path) -> None:
    def grain(index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8)

    source = make(tmp_path / "in.mp4", STEADY, codec="mpeg4", picture=grain)
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 60] = bytes(60)
    source.write_bytes(content)
    with pytest.raises(MovieError, match="damaged"):
        upscale_movie(source, tmp_path / "out.mp4", Nearest())
    assert only(tmp_path, source.name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no movie at all",
        b"\x89PNG\r\n\x1a\n" + bytes(50),
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
    ],
    ids=["empty", "text", "picture", "playlist"],
)
def test_what_is_no_movie_is_refused(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(content)
    with pytest.raises(MovieError, match="not a movie"):
        upscale_movie(source, tmp_path / "out.mp4", Nearest())
    assert only(tmp_path, source.name)


def test_a_still_picture_under_a_movies_name_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    av.VideoFrame.from_ndarray(blobs(0), "rgb24").to_image().save(source, format="PNG")
    with pytest.raises(MovieError, match="not a movie"):
        upscale_movie(source, tmp_path / "out.mp4", Nearest())


def test_a_missing_movie_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(MovieError, match=r"in\.mp4 does not exist"):
        upscale_movie(tmp_path / "in.mp4", tmp_path / "out.mp4", Nearest())


def test_sound_with_a_cover_picture_has_no_moving_pictures(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as movie:
        cover = movie.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 24, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        sound = movie.add_stream("aac", rate=48000)
        movie.mux(cover.encode(av.VideoFrame.from_ndarray(blobs(0), "rgb24")))
        movie.mux(cover.encode(None))
        hum(movie, sound)
    with pytest.raises(MovieError, match="no video stream"):
        upscale_movie(source, tmp_path / "out.mp4", Nearest())


def test_absurd_frames_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "in.mp4", STEADY[:1])
    with pytest.raises(MovieError, match="32x24: at most 500 pixels"):
        reading.survey(source, largest=500)
    monkeypatch.setattr("hvae_sr.upscaling.frames.LARGEST_RESULT", 1000)
    with pytest.raises(MovieError, match="would become 64x48: at most 1000 pixels"):
        upscale_movie(source, tmp_path / "out.mp4", Nearest())


@pytest.mark.parametrize("error", [RuntimeError("third frame"), KeyboardInterrupt()])
def test_an_interrupted_run_leaves_neither_file_nor_thread(
    tmp_path: Path, error: BaseException
) -> None:
    class Failing(Watching):
        def forward(self, lr: Tensor) -> Tensor:
            if len(self.seen) == 2:
                raise error
            return super().forward(lr)

    source = make(tmp_path / "in.mp4", list(range(0, 600, 40)))
    (tmp_path / "out.mp4").write_bytes(b"of yesterday")
    with pytest.raises(type(error)):
        upscale_movie(source, tmp_path / "out.mp4", Failing())
    assert only(tmp_path, "in.mp4", "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == b"of yesterday"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def full(path: Path) -> Iterator[Path]:
        yield Path("/dev/full")

    monkeypatch.setattr("hvae_sr.upscaling.video.atomic_write", full)
    source = make(tmp_path / "in.mp4")
    with pytest.raises(MovieError, match=r"out\.mkv could not be written: No space left"):
        upscale_movie(source, tmp_path / "out.mkv", Nearest())
    assert only(tmp_path, "in.mp4")


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", STEADY[:2])
    with pytest.raises(MovieError, match="could not be written"):
        upscale_movie(source, tmp_path / "nowhere" / "out.mp4", Nearest())
    assert only(tmp_path, "in.mp4")


def test_few_frames_are_in_flight_however_slow_the_encoder_is() -> None:
    started, finished, most = 0, 0, 0

    def source() -> Iterator[int]:
        nonlocal started
        for number in range(60):
            started += 1
            yield number

    def slow(items: Iterator[int]) -> None:
        nonlocal finished, most
        for _ in items:
            threading.Event().wait(0.005)
            most = max(most, started - finished)
            finished += 1

    threads.run(source(), lambda item: item, slow)
    assert finished == 60
    assert threads.DEPTH < most <= 2 * threads.DEPTH + 3  # queues and hands


@pytest.mark.parametrize("stage", ["source", "work", "sink"])
def test_an_error_in_any_stage_reaches_the_caller_and_stops_the_others(stage: str) -> None:
    def fail(where: str, number: int) -> int:
        if where == stage and number == 20:
            raise ArithmeticError(where)
        return number

    def source() -> Iterator[int]:
        number = 0
        while True:
            yield fail("source", number)
            number += 1

    def sink(items: Iterator[int]) -> None:
        for item in items:
            fail("sink", item)

    with pytest.raises(ArithmeticError, match=stage):
        threads.run(source(), lambda item: fail("work", item), sink)
    assert not [t for t in threading.enumerate() if t.name.startswith("hvae_sr")]


@pytest.mark.skipif(not BUNNY.is_file(), reason="the real movie is not here")
def test_a_real_movie_keeps_its_sound_and_its_length(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with av.open(str(BUNNY)) as film, av.open(str(source), "w") as movie:
        video = add_video(movie, width=80, height=46)
        sound = movie.add_stream_from_template(film.streams.audio[0])
        for packet in film.demux():
            if packet.pts is None or packet.pts * packet.time_base >= Fraction(1, 2):
                continue
            if packet.stream.type == "audio":
                packet.stream = sound
                movie.mux(packet)
                continue
            for frame in packet.decode():
                small = frame.reformat(80, 46)
                small.pts, small.time_base = frame.pts, frame.time_base
                movie.mux(video.encode(small))
        movie.mux(video.encode(None))
    upscale_movie(source, target, Nearest())
    assert packets(target) == packets(source)
    assert len(packets(source)[1]) > 20
    assert times(target) == times(source)
    with av.open(str(source)) as before, av.open(str(target)) as after:
        assert before.duration == after.duration
