"""Files that people take for images and that are not read here: refused by name."""

from importlib.util import find_spec
from pathlib import Path

from hvae_sr.errors import ImageError

RAW_SUFFIXES = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw",
    ".x3f",
)  # fmt: skip
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevx", b"mif1", b"msf1")
HEIF = find_spec("pi_heif") is not None


def refuse_foreign(path: Path) -> None:
    """Refuse camera raw, whose thumbnail would be read, and HEIC where nothing decodes it.

    Raises:
        ImageError: naming the format and what to do.
        OSError: when the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(32)
    if (
        path.suffix.lower() in RAW_SUFFIXES
        or head.startswith(_RAW_STARTS)
        or (head[:4] == b"II*\0" and head[8:10] == b"CR")
        or head[4:11] == b"ftypcrx"
    ):
        raise raw_refused(path.name)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS and not HEIF and b"avif" not in head:
        raise ImageError(
            f'{path.name} is HEIC, which needs one more package: pip install "hvae-sr[heif]", or '
            "export it as JPEG or PNG"
        )


def raw_refused(name: str) -> ImageError:
    """What is said of camera raw."""
    return ImageError(
        f"{name} is a camera raw file, which is not developed here: export it as 16-bit TIFF or "
        "PNG from the camera's program, darktable or RawTherapee"
    )
