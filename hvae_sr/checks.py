"""Arguments of calls, checked once for all that take them: numbers, sizes, names."""

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from types import UnionType
from typing import Any

from hvae_sr.errors import shown

LARGEST_SIDE = 2**20  # pixels; no image that is made here has a longer one
MOST_SAMPLES = 2**20


def one_of(argument: str, value: Any, known: Iterable[str]) -> str:
    """The value, if it is one that is known.

    Raises:
        ValueError: for any other; it names the argument and what it may be.
    """
    names = tuple(known)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{argument} must be one of {', '.join(names)}, not {shown(value)}")
    return value


def whole(argument: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """A whole number from `least` to `most`, of Python or numpy.

    Raises:
        TypeError: for what is not a whole number.
        ValueError: for one out of range.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{argument} must be a whole number, not {shown(value)}")
    number = int(value)
    if number < least or (most is not None and number > most):
        wanted = f"from {least} to {most}" if most is not None else f"at least {least}"
        raise ValueError(f"{argument} must be {wanted}, not {shown(number)}")
    return number


def real(argument: str, value: Any, least: float = 0.0, most: float = math.inf) -> float:
    """A finite number from `least` to `most`, of Python or numpy.

    Raises:
        TypeError: for what is not a number.
        ValueError: for one out of range.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{argument} must be a number, not {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not least <= number <= most or math.isinf(number):
        wanted = f"from {least:g} to {most:g}" if most < math.inf else f"at least {least:g}"
        raise ValueError(f"{argument} must be a finite number, {wanted}, not {shown(value)}")
    return number


def pair_of_sides(argument: str, value: Any, order: str) -> tuple[int, int]:
    """Two sides of an image in pixels.

    Args:
        order: which is which, for the sentence, such as `(width, height)`.

    Raises:
        TypeError: for what is not two whole numbers.
        ValueError: for sides that no image has.
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) != 2:
        raise TypeError(f"{argument} must be {order} in pixels, not {shown(value)}")
    try:
        first, second = (whole("a side", side, 1, LARGEST_SIDE) for side in value)
    except (TypeError, ValueError) as error:
        wanted = f"{order} in pixels, from 1 to {LARGEST_SIDE}"
        raise type(error)(f"{argument} must be {wanted}, not {shown(value)}") from error
    return first, second


def flag(argument: str, value: Any) -> bool:
    """True or False, of Python or numpy.

    Raises:
        TypeError: for anything else, 0 and 1 included.
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{argument} must be True or False, not {shown(value)}")
    return bool(value)


def instance(argument: str, value: Any, kind: type | UnionType, called: str) -> None:
    """Refuse what is not of a class.

    Args:
        called: what people call the class, such as "a Pillow image".

    Raises:
        TypeError: for anything else.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{argument} must be {called}, not {shown(value)}")
