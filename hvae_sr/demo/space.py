"""The demo as a Hugging Face Space: a folder that runs alone, and needs packages only."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from huggingface_hub import SpaceCardData

import hvae_sr
from hvae_sr.errors import HvaeSrError
from hvae_sr.storage.shelf import bundled

MARK = "Written by `hvae-sr space`."
KEPT = {".git"}  # what may lie in the folder beside what is written
LARGE_FILES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
PYTHON = "3.11"

_PACKAGE = Path(hvae_sr.__file__).parent
# In a wheel the entry point lies inside the package, in a checkout beside it.
_ENTRIES = (_PACKAGE / "app.py", _PACKAGE.parent / "app.py")


def write_space(target: Path, models: Sequence[str] = ()) -> None:
    """Write a Space, whole or not at all; an earlier one in the same folder is replaced.

    Its front matter names this gradio, its requirements pin the versions installed here, and
    the package and its weights are copied, so that nothing of it comes from a hub.

    Args:
        target: a new or empty folder, one written by this function, or a clone of an empty
            repository.
        models: bundled names to take along; all of them when empty.

    Raises:
        HvaeSrError: when the folder holds something else, or a model is not bundled.
    """
    found = bundled()
    for name in models:
        if name not in found:
            raise HvaeSrError(f"{name!r} is not a bundled model: choose from {', '.join(found)}")
    if not _free(target):
        raise HvaeSrError(
            f"{target} holds something else than a Space written here: name a new folder"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        old.mkdir()
        _fill(new, {name: found[name] for name in models or found})
        target.mkdir(exist_ok=True)
        for entry in new.iterdir():
            place = target / entry.name
            if place.exists():
                place.rename(old / entry.name)
            entry.rename(place)


def requirements() -> str:
    """Lines `name==version` of what this package needs, as installed here, without gradio.

    gradio is left out because a Space installs the one that its front matter names.
    """
    needed = [line for line in metadata.requires("hvae-sr") or () if "extra ==" not in line]
    names = sorted(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed)
    # "+cpu" and the like name builds that the package index does not hold.
    versions = {name: metadata.version(name).partition("+")[0] for name in names}
    return "".join(f"{name}=={versions[name]}\n" for name in names if name != "gradio")


def card() -> str:
    """The Space's README.md with its front matter."""
    data = SpaceCardData(
        title="hvae-sr",
        emoji="🔍",
        colorFrom="indigo",
        colorTo="gray",
        sdk="gradio",
        sdk_version=metadata.version("gradio"),
        python_version=PYTHON,
        app_file="app.py",
        license="apache-2.0",
        pinned=False,
        short_description="Enlarge images and movies; see how sure the model is",
        tags=["super-resolution", "image-to-image", "vae"],
    )
    return (
        f"---\n{data.to_yaml()}\n---\n\n# hvae-sr\n\n"
        "Enlarge images and movies with a CNN, a VAE or hierarchical VAEs, see how sure the "
        "model is, and draw unconditional samples. `python app.py` runs it here.\n\n"
        f"{MARK}\n"
    )


def _free(target: Path) -> bool:
    if not target.exists():
        return True
    if not target.is_dir():
        return False
    found = {path.name for path in target.iterdir()} - KEPT
    readme = target / "README.md"
    return not found or (readme.is_file() and MARK in readme.read_text(errors="replace"))


def _fill(folder: Path, models: dict[str, Path]) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "model_cards")
    shutil.copytree(_PACKAGE, folder / "hvae_sr", ignore=ignored)
    for name, source in models.items():
        shutil.copytree(source, folder / "model_cards" / name)
    shutil.copy(next(path for path in _ENTRIES if path.is_file()), folder / "app.py")
    (folder / "README.md").write_text(card(), encoding="utf-8")
    (folder / "requirements.txt").write_text(requirements())
    (folder / ".gitattributes").write_text(LARGE_FILES)
