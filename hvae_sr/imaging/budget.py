"""What decoding a stranger's image file may cost."""

from dataclasses import dataclass

from hvae_sr.errors import ImageError


@dataclass(frozen=True)
class Budget:
    """What decoding one image may cost.

    Args:
        seconds: of processor time; four times as long by the clock.
        memory: bytes of the decoder's address space, where the system bounds it.
        scans: of a JPEG.
        slow: pixels for Pillow's slowest decoders, microseconds each.
        parts: segments, chunks, blocks or tiles that a file is cut into.
        packed: chunks of a PNG that unpack to a profile or a text, of a mebibyte each.
        values: numbers in EXIF, and in a TIFF's tags, beside the places of its strips; Pillow
            reads and writes each of them in Python, for every output anew.
        comments: bytes before the first frame of a GIF, which Pillow gathers slowly.
        spare: bytes of a file beside `PER_PIXEL` for each of its pixels; also of unpacked texts.
        metadata: bytes of profile, EXIF and XMP that would be copied into every output.
    """

    seconds: float
    memory: int
    scans: int
    slow: int
    parts: int
    packed: int
    values: int
    comments: int
    spare: int
    metadata: int


STRANGERS = Budget(
    seconds=5,
    memory=2**30,
    scans=100,
    slow=2**18,
    parts=2**14,
    packed=32,
    values=1024,
    comments=2**18,
    spare=2**22,
    metadata=2**20,
)


def too_many_parts(name: str, budget: Budget) -> ImageError:
    """What is said of a file with more parts than a budget has."""
    return ImageError(
        f"{name} is cut into more than {budget.parts} parts: export it again from its source"
    )
