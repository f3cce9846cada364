"""Errors whose message is one sentence for a person: what is wrong and what to do about it."""


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
