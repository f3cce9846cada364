"""Errors whose message is one sentence for a person: what is wrong and what to do about it."""

from reprlib import Repr

_repr = Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 80


def shown(value: object) -> str:
    """What was given, as a sentence can hold it: `repr`, in one line and not long."""
    return " ".join(_repr.repr(value).split())


class HvaeSrError(Exception):
    """Base of every error that the command line and the demo show as they are."""


class ModelError(HvaeSrError, ValueError):
    """A model folder, its `config.json` or its weights cannot be used."""


class ImageError(HvaeSrError, ValueError):
    """An image cannot be read, written, or upscaled in the memory there is."""


class MovieError(HvaeSrError, ValueError):
    """A movie cannot be read, upscaled or written."""


class DataError(HvaeSrError, ValueError):
    """A data set for training or evaluation cannot be used."""


class TrainingError(HvaeSrError, RuntimeError):
    """A training run cannot start or go on."""


class HubError(HvaeSrError, OSError):
    """A hub cannot be reached, refuses, or does not have what was asked for."""


class MetricError(HvaeSrError, RuntimeError):
    """A metric needs a package or weights that are missing, or images it cannot compare."""
