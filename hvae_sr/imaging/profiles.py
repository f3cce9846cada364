"""ICC profiles that fit the pixels beside them, and the format of the file."""

import io

import numpy as np
from PIL import Image, ImageCms

from hvae_sr.imaging import icc
from hvae_sr.imaging.catalogue import Format
from hvae_sr.imaging.deep import DEEPEST, DeepImage

_ONLY_COLOUR = ("WEBP", "AVIF")  # formats that make RGB of greyscale


def with_fitting_profile(image: Image.Image | DeepImage, target: Format) -> Image.Image | DeepImage:
    """The image with a profile that a file of the format can hold, or converted to sRGB."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile:
        return image
    space = icc.colour_space(profile)
    grey_pixels = isinstance(image, Image.Image) and image.mode in ("L", "LA", "I;16", "I", "1")
    grey_pixels = grey_pixels or image.mode == "LA;16"
    if grey_pixels != (space == b"GRAY") and space in (b"GRAY", b"RGB "):
        return _without(image)  # as browsers do with a profile of other channels
    if space == b"GRAY" and (not target.profile or target.name in _ONLY_COLOUR):
        return _grey_to_srgb(image, profile)
    if space == b"RGB " and not target.profile:
        return _to_srgb(image, profile)
    return image


def _without(image: Image.Image | DeepImage) -> Image.Image | DeepImage:
    if isinstance(image, DeepImage):
        info = {key: value for key, value in image.info.items() if key != "icc_profile"}
        return DeepImage(image.array, info, image.format)
    image = image.copy()
    image.info.pop("icc_profile", None)
    return image


def _to_srgb(image: Image.Image | DeepImage, profile: bytes) -> Image.Image | DeepImage:
    flat = image.eight_bits() if isinstance(image, DeepImage) else image
    flat = flat if flat.mode == "RGB" else flat.convert("RGB")
    return _without(_transformed(flat, profile) or image)


def _grey_to_srgb(image: Image.Image | DeepImage, profile: bytes) -> Image.Image | DeepImage:
    """Greyscale of any depth, alpha untouched, through the profile's curve."""
    ramp = _transformed(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), profile)
    if ramp is None:
        return _without(image)
    curve = np.asarray(ramp)[0, :, 1].astype(np.float64)
    if isinstance(image, DeepImage) or image.mode.startswith("I"):
        values = image.array if isinstance(image, DeepImage) else np.asarray(image)[..., None]
        grey = np.interp(values[..., 0] / 257, np.arange(256), curve) * DEEPEST / 255
        if isinstance(image, DeepImage):
            array = np.stack([grey.round().astype(np.uint16), values[..., 1]], axis=-1)
            return _without(DeepImage(array, image.info, image.format))
        converted = Image.fromarray(grey.round().astype(np.uint16))
    else:
        table = [round(value) for value in curve]
        bands = image.split()
        converted = bands[0].convert("L").point(table)
        if image.mode == "LA":
            converted = Image.merge("LA", (converted, bands[1]))
    converted.info.update(image.info)
    return _without(converted)


def _transformed(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The image in sRGB; None where its profile cannot be used."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        found = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # broken, or of other colours
        return None
    if found is not None:
        found.info.update(image.info)
    return found
