"""When frames are shown: from time stamps as files have them to ones that encoders take."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, groupby, pairwise

from hvae_sr.errors import MovieError

REORDERED = 16  # frames that a decoder may hold back, in any codec
BACK = Fraction(1)  # seconds: stamps that fall back further are another clock's
FINEST = 1000  # parts of a time base that frames of one stamp are spread over


@dataclass(frozen=True)
class Stamps:
    """What a decoder says of one frame, in units of the stream's time base.

    Args:
        pts: when it is shown, as the file says; None where it does not.
        dts: when the packet that completed it was to be decoded; None where nobody knows.
        duration: 0 where nobody knows.
    """

    pts: int | None
    dts: int | None
    duration: int


@dataclass(frozen=True)
class Timeline:
    """When each frame is shown.

    Args:
        start: seconds that are taken off every time of the movie, so that it begins at 0.
        time_base: the unit of what follows, in seconds.
        shown: of each frame, rising strictly; `start` is already taken off.
        durations: of each frame; 0 where the movie does not say.
    """

    start: Fraction
    time_base: Fraction
    shown: Sequence[int]
    durations: Sequence[int]


def timeline(
    stamps: Sequence[Stamps],
    time_base: Fraction,
    rate: Fraction,
    earliest: Fraction | None,
    name: str,
) -> Timeline:
    """Put frames, which come in the order in which they are shown, in time.

    Stamps that all differ are right, if in another order: they are sorted, and nothing else is
    done to those of most movies. Otherwise the decoder's best effort decides between the two kinds
    of stamps, and frames of one stamp are spread until the next, in a finer time base where the
    movie's has no room.

    Args:
        stamps: at least one.
        time_base: of the stamps, in seconds.
        rate: frames per second, for what has no stamp at all.
        earliest: time of the first packet that is copied, in seconds; None without any.
        name: of the movie.

    Raises:
        MovieError: when the stamps jump back, or far too many are equal.
    """
    frame = max(1, round(1 / (rate * time_base)))
    shown = [each.pts for each in stamps]
    durations = [each.duration for each in stamps]
    parts = 1
    if None in shown or len(set(shown)) < len(shown):
        times = _completed(_best_effort(stamps), frame)
        _check_clock(times, time_base, rate, name)
        times, parts = _spread(sorted(times), frame, name)
        durations = [after - before for before, after in pairwise(times)]
        durations.append(durations[-1] if durations else frame * parts)
    else:
        given = [time for time in shown if time is not None]
        _check_clock(given, time_base, rate, name)
        times = sorted(given)
    unit = time_base / parts
    # Times before 0 belong to sound whose first samples are not heard: containers keep them.
    first = times[0] * unit if earliest is None else min(times[0] * unit, earliest)
    offset = max(0, int(first / unit))
    return Timeline(offset * unit, unit, [time - offset for time in times], durations)


def _best_effort(stamps: Sequence[Stamps]) -> list[int | None]:
    """The kind of stamps that has risen more faithfully so far, as FFmpeg's decoders choose."""
    found: list[int | None] = []
    faulty_pts = faulty_dts = 0
    last_pts: int | None = None
    last_dts: int | None = None
    for each in stamps:
        if each.dts is not None:
            faulty_dts += last_dts is not None and each.dts <= last_dts
            last_dts = each.dts
        if each.pts is not None:
            faulty_pts += last_pts is not None and each.pts <= last_pts
            last_pts = each.pts
        by_pts = each.pts is not None and (faulty_pts <= faulty_dts or each.dts is None)
        found.append(each.pts if by_pts else each.dts)
    return found


def _completed(times: list[int | None], frame: int) -> list[int]:
    """With a time for every frame: what has none follows the one before."""
    return list(
        accumulate(
            times[1:],
            lambda before, time: before + frame if time is None else time,
            initial=times[0] or 0,
        )
    )


def _check_clock(times: Sequence[int], time_base: Fraction, rate: Fraction, name: str) -> None:
    allowed = max(BACK, REORDERED / rate)
    for highest, time in zip(accumulate(times, max), times, strict=True):
        back = (highest - time) * time_base
        if back > allowed:
            raise MovieError(
                f"{name} has a clock that jumps back by {float(back):.1f} seconds: cut it there "
                "into two movies"
            )


def _spread(times: list[int], frame: int, name: str) -> tuple[list[int], int]:
    """Frames of one stamp -> evenly until the next stamp; and the parts of a unit that takes."""
    runs = [(stamp, len(list(group))) for stamp, group in groupby(times)]
    ends = [stamp for stamp, _ in runs[1:]] + [runs[-1][0] + frame * runs[-1][1]]
    parts = max(-(-count // (end - stamp)) for (stamp, count), end in zip(runs, ends, strict=True))
    if parts > FINEST:
        raise MovieError(f"{name} has {parts} frames at one time: export it again from its source")
    return [
        stamp * parts + (end - stamp) * parts * index // count
        for (stamp, count), end in zip(runs, ends, strict=True)
        for index in range(count)
    ], parts
