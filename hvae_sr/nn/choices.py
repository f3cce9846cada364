"""Arguments that are one of a few names."""

from collections.abc import Iterable


def one_of(argument: str, value: str, known: Iterable[str]) -> str:
    """The value, if it is one that is known.

    Raises:
        ValueError: for any other; it names the argument and what it may be.
    """
    names = tuple(known)
    if value not in names:
        raise ValueError(f"{argument} must be one of {names}, not {value!r}")
    return value
