"""Finding models: the bundled shelf, a local folder, or a repository on a hub."""

from pathlib import Path

import torch
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

import hvae_sr.models  # noqa: F401  (registers every class that a config can name)
from hvae_sr.errors import ModelError
from hvae_sr.modeling import SuperResolutionModel
from hvae_sr.serialization import CONFIG

_PACKAGE = Path(__file__).parent
# In a wheel the shelf lies inside the package, in a checkout beside it.
_SHELVES = (_PACKAGE / "model_cards", _PACKAGE.parent / "model_cards")


def bundled() -> dict[str, Path]:
    """Names of the models that come with the package -> their folders, sorted by name."""
    shelf = next((shelf for shelf in _SHELVES if shelf.is_dir()), None)
    if shelf is None:
        return {}
    return {path.parent.name: path.parent for path in sorted(shelf.glob(f"*/{CONFIG}"))}


def load(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    token: str | bool | None = None,
) -> SuperResolutionModel:
    """Load a model by bundled name, local folder or `owner/name` on a hub, ready for inference.

    Args:
        name_or_path: a name from `bundled()`, a folder, or a hub repository.
        revision: branch, tag or commit of a hub repository.
        device: where the weights go.
        token: access token of a private hub repository.

    Raises:
        ModelError: for a name that is none of these, or a model that is damaged; the message
            names the file and the key.
        huggingface_hub.errors.HfHubHTTPError: when the hub refuses or is out of reach.
    """
    shelf = bundled()
    source: str | Path = shelf.get(str(name_or_path), name_or_path)
    if not Path(source).is_dir() and not _is_repository(str(source)):
        raise ModelError(
            f"{str(name_or_path)!r} is no bundled model ({', '.join(shelf)}), no folder, and not "
            "of the form owner/name"
        )
    return SuperResolutionModel.from_pretrained(
        source, revision=revision, map_location=device, token=token
    )


def _is_repository(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name
