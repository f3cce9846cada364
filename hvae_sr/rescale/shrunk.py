"""What a small image remembers of how it was made."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from hvae_sr.degradations import Degradation, get_degradation
from hvae_sr.errors import ImageError
from hvae_sr.imaging.decoding import LARGEST_FILE

LONGEST_NAME = 200


@dataclass(frozen=True)
class Shrunk:
    """How a small image was made; travels with it as JSON in its EXIF.

    Args:
        degradation: name of the operator that made it.
        scale: pixels of the original per pixel of the small image, along each side.
        width: of the original, in pixels; no multiple of the scale is needed.
        height: likewise.
        grey: whether the original was greyscale, which WebP and AVIF do not remember.
        model: bundled name or `owner/name` of the model that is to restore it; None when only a
            degradation was given.
        revision: of that model.
        version: of the package that wrote this.

    Raises:
        ImageError: for values that `shrink` never writes; a record may come from anyone.
    """

    degradation: str
    scale: int
    width: int
    height: int
    grey: bool
    model: str | None
    revision: str | None
    version: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            # A bool is an int to isinstance, and would pass as a width of 1.
            if type(value) not in _TYPES[field.name]:
                raise _refused(f"its {field.name} is a {type(value).__name__}")
            if isinstance(value, str) and len(value) > LONGEST_NAME:
                raise _refused(f"its {field.name} has {len(value)} characters")
        try:
            get_degradation(self.degradation, self.scale)
        except ValueError as error:
            raise _refused("its degradation or scale is unknown here") from error
        if min(self.width, self.height) < 1 or self.width * self.height > LARGEST_FILE:
            raise _refused(f"originals have 1 to {LARGEST_FILE} pixels")

    @classmethod
    def parse(cls, record: dict[str, Any] | None) -> Self:
        """Check what `read_record` found in an image.

        Raises:
            ImageError: for an image that `shrink` did not make, and a damaged record.
        """
        if record is None or record.get("action") != "shrink":
            raise ImageError(
                "this image was not made by `hvae-sr shrink`: enlarge it with `hvae-sr upscale`"
            )
        missing = [field.name for field in fields(cls) if field.name not in record]
        if missing:
            raise _refused(f"it has no {missing[0]}")
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    def to_record(self) -> dict[str, Any]:
        """JSON for `save_image`; `parse` reads it back."""
        return {"action": "shrink", **asdict(self)}

    @property
    def operator(self) -> Degradation:
        """What made the small image, once the original was padded to a multiple of the scale."""
        return get_degradation(self.degradation, self.scale)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the small image."""
        return -(-self.width // self.scale), -(-self.height // self.scale)


_TYPES: dict[str, tuple[type, ...]] = {
    "degradation": (str,),
    "scale": (int,),
    "width": (int,),
    "height": (int,),
    "grey": (bool,),
    "model": (str, type(None)),
    "revision": (str, type(None)),
    "version": (str,),
}


def _refused(reason: str) -> ImageError:
    return ImageError(f"the record of this image cannot be used: {reason}")
