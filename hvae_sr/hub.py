"""Finding models (bundled ones, folders, repositories on a hub) and publishing them."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, ModelCardData
from huggingface_hub.errors import EntryNotFoundError

from hvae_sr import checks
from hvae_sr.errors import HubError, ModelError
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.registry import find
from hvae_sr.storage import cards, client, serialization, shelf
from hvae_sr.storage.serialization import CONFIG, WEIGHTS
from hvae_sr.storage.shelf import bundled

TRAINING_FACTS = {"data": str, "images": int, "minutes": int | float, "hardware": str}


def list_models(
    *,
    scale: int | None = None,
    degradation: str | None = None,
    model_class: type[SuperResolutionModel] | None = None,
) -> list[str]:
    """Names of the bundled models, sorted: each is one that `load` takes.

    Args:
        scale: only models of this scale; 1 for models of p(y).
        degradation: only models for the degradation of this name.
        model_class: only models of this class or a subclass of it, such as `GenerativeModel`.

    Raises:
        ModelError: when the config of a bundled model is damaged, naming the file.
    """
    if scale is not None:
        checks.whole("scale", scale, 1)
    found = []
    for name, folder in bundled().items():
        config = serialization.read_config(folder / CONFIG)
        named = config.get("degradation")
        named = named.get("name") if isinstance(named, dict) else named
        if scale not in (None, config.get("scale")) or degradation not in (None, named):
            continue
        if model_class is None or _is_of(config, model_class, folder):
            found.append(name)
    return found


def _is_of(config: dict[str, Any], cls: type[SuperResolutionModel], folder: Path) -> bool:
    try:
        return issubclass(find(config["model_class"], config["model_module"]), cls)
    except (ValueError, KeyError) as error:
        raise ModelError(f"{folder / CONFIG}: key 'model_class': {error}") from error


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
        HubError: when a hub refuses, is out of reach, or does not have it.
    """
    return SuperResolutionModel.from_pretrained(
        name_or_path, revision=revision, map_location=device, token=token
    )


def push(
    folder: str | Path,
    repository: str,
    *,
    message: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    tag: str | None = None,
    token: str | None = None,
) -> str:
    """Publish a model folder in one commit, after loading it strictly.

    Config, weights, card and what belongs to them go up, nothing else that lies in the folder.
    The card's snippet then loads the model from where it is.

    Args:
        folder: a bundled name or a model folder.
        repository: `owner/name`; it is created when it does not exist.
        message: of the commit.
        private: whether a new repository is hidden from others.
        revision: a branch to push to, created when it does not exist; `main` if None.
        tag: a name for this commit, such as `v1`.
        token: an access token that may write; the one `hf auth login` stored if None.

    Returns:
        The address of the model on the hub.

    Raises:
        ModelError: for a folder that does not load, or a repository that is not `owner/name`.
        HubError: when the tag exists, or the hub refuses or is out of reach; nothing is then
            committed.
    """
    source = Path(shelf.located(folder))
    if not source.is_dir():
        raise ModelError(f"{str(folder)!r} is neither a bundled model nor a folder")
    if not shelf.is_repository(repository):
        raise ModelError(f"{repository!r} is not of the form owner/name")
    model = SuperResolutionModel.from_pretrained(source)
    api = HfApi(token=token)
    with (
        tempfile.TemporaryDirectory() as scratch,
        client.translate_hub_errors(repository, revision),
    ):
        staged = _stage(model, source, repository, Path(scratch))
        api.create_repo(repository, private=private, exist_ok=True)
        if tag is not None:
            _refuse_existing_tag(api, repository, tag)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=staged,
            revision=revision,
            commit_message=message or f"Push {source.resolve().name} with hvae_sr",
        )
        if tag is not None:
            api.create_tag(repository, tag=tag, revision=commit.oid)
    return str(commit.repo_url)


def _refuse_existing_tag(api: HfApi, repository: str, tag: str) -> None:
    """A tag stays where it is: said before anything is committed."""
    if tag in (known.name for known in api.list_repo_refs(repository).tags):
        raise HubError(
            f"{repository} has a tag {tag} already: choose another name, or delete that tag first"
        )


def _stage(model: SuperResolutionModel, source: Path, repository: str, scratch: Path) -> Path:
    for file in [source / CONFIG, source / WEIGHTS, *cards.companions(source)]:
        shutil.copy(file, scratch)
    card = model.generate_model_card(model_name=repository)
    (scratch / cards.CARD).write_text(cards.addressed(str(card), repository), encoding="utf-8")
    return scratch


@dataclass(frozen=True)
class Info:
    """What a model's files say of it, and its card where it has one.

    Args:
        name: bundled name, folder or `owner/name`.
        revision: commit of a hub's model; of others what the weights hash to, shortened.
        parameters: how many numbers the weights are.
        scale: HR pixels per LR pixel along each side.
        degradation: that the weights are for; None for models without an LR input.
        format_version: of `config.json`.
        hvae_sr_version: that wrote it; None where it does not say.
        size: of the weights in bytes.
        sha256: of the weight file.
        licence: of the weights, as the card states it.
        scores: data set -> metric -> value, of the model's single best image.
        training: what `training.json` says of minutes, images and data.
    """

    name: str
    revision: str | None
    model_class: str
    parameters: int
    scale: int
    degradation: str | None
    format_version: int
    hvae_sr_version: str | None
    size: int
    sha256: str
    licence: str | None
    scores: dict[str, dict[str, float]]
    training: dict[str, Any]


def info(
    name_or_path: str | Path, *, revision: str | None = None, token: str | None = None
) -> Info:
    """Load a model and report what its files say of it; see `load` for arguments and errors."""
    model = load(name_or_path, revision=revision, token=token)
    assert model.folder is not None
    if str(name_or_path) not in bundled() and not Path(name_or_path).is_dir():
        for name in cards.COMPANIONS:
            _fetch_if_there(str(name_or_path), name, model.revision, token)
    weights = model.folder / WEIGHTS
    version, writer = serialization.format_of(model.folder / CONFIG)
    licence, scores = _card_facts(model.folder / cards.CARD)
    return Info(
        name=model.name,
        revision=model.revision,
        model_class=type(model).__name__,
        parameters=sum(p.numel() for p in model.parameters()),
        scale=model.scale,
        degradation=model.degradation.name if model.degradation is not None else None,
        format_version=version,
        hvae_sr_version=writer,
        size=weights.stat().st_size,
        sha256=serialization.sha256(weights),
        licence=licence,
        scores=scores,
        training=_training(model.folder / cards.TRAINING),
    )


def _fetch_if_there(repository: str, name: str, revision: str | None, token: str | None) -> None:
    """Put a file that not every model has beside those in the cache."""
    try:
        client.download(repository, name, revision=revision, token=token)
    except HubError as error:
        if not isinstance(error.__cause__, EntryNotFoundError):
            raise


def _card_facts(path: Path) -> tuple[str | None, dict[str, dict[str, float]]]:
    """Licence and scores in the front matter of a card; None and {} without a card."""
    if not path.is_file():
        return None, {}
    data = cards.read_card(path).data
    assert isinstance(data, ModelCardData)
    scores: dict[str, dict[str, float]] = {}
    for result in data.eval_results or []:
        names = (result.dataset_name, result.metric_type)
        if isinstance(result.metric_value, int | float) and all(isinstance(n, str) for n in names):
            scores.setdefault(result.dataset_name, {})[result.metric_type] = result.metric_value
    return data.license if isinstance(data.license, str) else None, scores


def _training(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    text = cards.short_text(path)
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(facts, dict):
        raise ModelError(f"{path} must hold a JSON object")
    return {
        key: facts[key] for key, kind in TRAINING_FACTS.items() if isinstance(facts.get(key), kind)
    }
