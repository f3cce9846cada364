"""Movie files: which there are, and how they are read and written."""

from pathlib import Path

SUFFIXES = (
    ".mp4",
    ".mkv",
    ".mov",
    ".webm",
    ".m4v",
    ".avi",
    ".divx",
    ".mpg",
    ".mpeg",
    ".m1v",
    ".m2v",
    ".vob",
    ".ts",
    ".mts",
    ".m2t",
    ".m2ts",
    ".wmv",
    ".asf",
    ".flv",
    ".f4v",
    ".ogv",
    ".ogm",
    ".3gp",
    ".3g2",
    ".qt",
    ".mxf",
    ".dv",
)
# Written here. Where several suffixes name one container, messages name the first.
CONTAINERS = {
    ".mp4": "mp4",
    ".mkv": "matroska",
    ".mov": "mov",
    ".webm": "webm",
    ".m4v": "mp4",
}


def is_movie(path: Path) -> bool:
    """Whether a path is a file whose suffix names a movie format that is read here."""
    return path.suffix.lower() in SUFFIXES and path.is_file()
