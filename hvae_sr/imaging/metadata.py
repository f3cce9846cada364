"""What a picture carries beside its pixels, in a form that can be written again; without torch."""

import math
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

# What of a TIFF's tags speaks of the picture's making; the others describe the file's layout.
_DESCRIPTIVE = (
    Base.ImageDescription,
    Base.Make,
    Base.Model,
    Base.Orientation,
    Base.Software,
    Base.DateTime,
    Base.Artist,
    Base.Copyright,
    Base.ProcessingSoftware,
)


def metadata(image: Image.Image) -> dict[str, Any]:
    """What a picture carries beside its pixels: `icc_profile`, `dpi`, `xmp`, `exif`, as bytes.

    EXIF that Pillow cannot parse is left out, and so are the layout tags of a TIFF and the small
    preview some cameras embed.
    """
    exif = readable_exif(image)
    return {**profile_and_size(image), **({"exif": exif.tobytes()} if len(exif) else {})}


def profile_and_size(image: Image.Image) -> dict[str, Any]:
    """`icc_profile`, `xmp` (bytes) and `dpi` of a picture, as far as it has them."""
    info = {key: image.info[key] for key in ("icc_profile", "xmp") if image.info.get(key)}
    if isinstance(info.get("xmp"), str):
        info["xmp"] = info["xmp"].encode()
    try:
        dpi = tuple(float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        dpi = ()
    if len(dpi) == 2 and all(math.isfinite(value) and 1 < value < 2**16 for value in dpi):
        info["dpi"] = dpi
    return info


def readable_exif(image: Image.Image) -> Image.Exif:
    """A picture's EXIF in a form that is certain to be writable; empty when it cannot be read."""
    exif = Image.Exif()
    try:
        found = image.getexif()
        if image.format == "TIFF":
            for tag in _DESCRIPTIVE:
                if tag in found:
                    exif[tag] = found[tag]
            for part in (IFD.Exif, IFD.GPSInfo):
                values = {k: v for k, v in found.get_ifd(part).items() if k != IFD.Interop}
                if values:
                    exif[part] = values
            found = exif
        exif = Image.Exif()
        exif.load(found.tobytes() if len(found) else b"")
        return exif
    except Exception:  # a hostile EXIF block makes Pillow raise nearly anything
        return Image.Exif()
