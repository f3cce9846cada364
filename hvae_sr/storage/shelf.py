"""The models that come with the package: their names and folders."""

import os
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from hvae_sr.errors import ModelError, shown
from hvae_sr.storage.serialization import CONFIG

# Bundled models that had another name: the old name -> the one to load.
RENAMED = {"srcnn-cifar10-x4": "study-cnn-cifar10-x4"}
# What may end the name of a file of weights, which no repository is called.
WEIGHT_SUFFIXES = {".bin", ".ckpt", ".gguf", ".h5", ".onnx", ".pt", ".pth", ".safetensors"}
_PACKAGE = Path(__file__).parent.parent
# In a wheel the shelf lies inside the package, in a checkout beside it.
_SHELVES = (_PACKAGE / "model_cards", _PACKAGE.parent / "model_cards")


def bundled() -> dict[str, Path]:
    """Names of the models that come with the package -> their folders, sorted by name."""
    shelf = next((shelf for shelf in _SHELVES if shelf.is_dir()), None)
    if shelf is None:
        return {}
    return {path.parent.name: path.parent for path in sorted(shelf.glob(f"*/{CONFIG}"))}


def located(name_or_path: str | Path) -> str | Path:
    """The folder of a model, bundled or not, or the `owner/name` of one on a hub, as it is.

    Raises:
        ModelError: for what is none of these, a file of weights or a name that a bundled model had
            before included; nothing is asked of a hub.
    """
    name = str(name_or_path)
    known = bundled()
    if name in known:
        return known[name]
    if os.path.isdir(name):  # noqa: PTH112  (False also for what no file system takes as a name)
        return Path(name)
    if name in RENAMED:
        raise ModelError(
            f"the model {name!r} is called {RENAMED[name]!r} now: load it by that name"
        )
    if Path(name).suffix in WEIGHT_SUFFIXES:
        raise ModelError(f"{shown(name)} names a file: give its folder, with {CONFIG}")
    if not is_repository(name):
        raise ModelError(
            f"{shown(name)} is not a bundled model ({', '.join(known)}), not a folder, "
            "and not of the form owner/name"
        )
    return name


def is_repository(name: str) -> bool:
    """Whether a name has the form `owner/name`."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name
