"""Movies of many kinds, made by PyAV: what cameras, discs, players and old programs write."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

WIDTH, HEIGHT, FRAMES, RATE = 48, 32, 15, 25
MILLISECOND = Fraction(1, 1000)
STEADY = [40 * index for index in range(FRAMES)]


def blobs(index: int) -> np.ndarray:
    """Soft RGB shades (h, w, 3) that move with the frame number."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    shades = [x * 4 + index * 5, y * 6, (x + y) * 2]
    return np.stack(shades, axis=-1).clip(20, 230).astype(np.uint8)


def _video(movie: Any, codec: str, pix_fmt: str, options: dict[str, str], rate: int) -> Any:
    stream = movie.add_stream(codec, rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
    stream.codec_context.thread_count = 1
    stream.bit_rate = 1_000_000
    return stream


def _sound(movie: Any, codec: str, rate: int) -> Any:
    stream = movie.add_stream(codec, rate=rate)
    stream.layout = "mono" if rate < 32000 else "stereo"
    if "pcm" not in codec:
        stream.bit_rate = 12200 if "amr" in codec else 96_000
    return stream


def _hum(stream: Any, start: Fraction) -> list[Any]:
    """0.6 seconds of a low tone, from `start` on."""
    rate, layout = stream.rate, stream.layout.name
    tone = (np.sin(np.arange(int(rate * 0.6)) / 20) * 8000).astype(np.int16)
    if stream.layout.nb_channels == 2:
        tone = tone.repeat(2)
    frame = av.AudioFrame.from_ndarray(tone[None], "s16", layout)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    frame.pts = int(start * rate)
    resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
    packets = [p for each in resampler.resample(frame) for p in stream.encode(each)]
    return [*packets, *stream.encode(None)]


def film(
    path: Path,
    codec: str = "libx264",
    sound: str | None = None,
    *,
    container: str | None = None,
    hertz: int = 48000,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    start: float = 0,
    times: Sequence[int] | None = None,
    rate: int = RATE,
    words: tuple[str, str] | None = None,
    tags: dict[str, str] | None = None,
    prepare: Callable[[Any], None] = lambda stream: None,
) -> Path:
    """Write a movie of `FRAMES` frames.

    Args:
        sound: an encoder of audio, 0.6 seconds of it.
        start: seconds that all times begin at.
        times: of the frames in milliseconds, given to a container that keeps them.
        words: a codec of text subtitles and the one line from 0.1 to 0.3 seconds.
        tags: of the whole movie.
        prepare: may change the stream of video.
    """
    flags = {"movflags": "use_metadata_tags"} if tags else {}
    with av.open(str(path), "w", format=container, options=flags) as movie:
        movie.metadata.update(tags or {})
        video = _video(movie, codec, pix_fmt, options or {}, rate)
        prepare(video)
        audio = _sound(movie, sound, hertz) if sound else None
        text = movie.add_mux_stream(words[0], time_base=MILLISECOND) if words else None
        packets = []
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(blobs(index), "rgb24").reformat(format=pix_fmt)
            frame.pts = index + round(Fraction(start) * rate)
            frame.time_base = Fraction(1, rate)
            packets += video.encode(frame)
        packets += video.encode(None)
        if times is not None:
            packets = [_at(packet, time) for packet, time in zip(packets, times, strict=True)]
        packets += _hum(audio, Fraction(start)) if audio else []
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            movie.mux(packet)
        if text is not None and words is not None:
            line = av.Packet(words[1].encode())
            line.pts = line.dts = 100
            line.duration, line.time_base, line.stream = 200, MILLISECOND, text
            movie.mux(line)
    return path


def _at(packet: Any, time: int) -> Any:
    packet.pts = packet.dts = time
    packet.time_base, packet.duration = MILLISECOND, 0
    return packet


def joined(path: Path, *parts: Path) -> Path:
    """Files one after the other, as recorders and discs leave them."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path
