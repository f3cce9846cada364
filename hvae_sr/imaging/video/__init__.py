"""Movie files: which there are, and how they are read and written."""

from pathlib import Path

SUFFIXES = (
    ".mp4",
    ".mkv",
    ".mov",
    ".webm",
    ".m4v",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".m2ts",
    ".wmv",
    ".flv",
    ".ogv",
    ".3gp",
)
CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov", ".webm": "webm"}  # written here


def is_movie(path: Path) -> bool:
    """Whether a path is a file whose suffix names a movie format that is read here."""
    return path.suffix.lower() in SUFFIXES and path.is_file()
