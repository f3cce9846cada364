"""What is written into outputs: enough to make them again, and to know them again."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hvae_sr.errors import ImageError
from hvae_sr.imaging.files import file_record
from hvae_sr.upscaling.network import precision
from hvae_sr.upscaling.options import UpscaleOptions
from hvae_sr.version import __version__

if TYPE_CHECKING:
    from hvae_sr.models.base import SuperResolutionModel

DIGEST = 12  # hexadecimal digits that name a source file


def describe(model: "SuperResolutionModel", options: UpscaleOptions) -> dict[str, Any]:
    """Model and options as JSON, with which an output can be made again.

    What changes nothing is None: seed and decoding at temperature 0. The tile, which never does,
    is left out.

    Args:
        options: with the seed that was used.
    """
    drawn = options.used_temperature > 0
    name, revision = model.provenance()
    return {
        "model": name,
        "revision": revision,
        "scale": model.scale,
        "temperature": options.used_temperature,
        "seed": options.seed if drawn else None,
        "decode": options.decode if drawn else None,
        "consistent": options.consistent,
        "dtype": str(precision(model, options)).removeprefix("torch."),
        "size": list(options.size) if options.size else None,
        "quality": options.quality,
        "version": __version__,
    }


def records(
    source: Path, model: "SuperResolutionModel", options: UpscaleOptions
) -> list[dict[str, Any]]:
    """What is written into the file of each sample: `describe`, its number, and the source's hash.

    Raises:
        ImageError: when the source cannot be read.
    """
    try:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST]
    except OSError as error:
        raise ImageError(f"{source.name} cannot be read: {error.strerror}") from error
    count = options.num_samples
    shared = {**describe(model, options), "samples": count, "source": digest}
    return [{**shared, "sample": index} for index in range(1, count + 1)]


def matches_record(path: Path, record: dict[str, Any]) -> bool:
    """Whether a file says that it was made as a record of `records` says.

    A record without a seed matches any; the package's version is not compared.
    """
    ignored = {"version"} | ({"seed"} if record["seed"] is None else set())
    found = file_record(path)
    return found is not None and all(
        found.get(key) == value for key, value in record.items() if key not in ignored
    )
