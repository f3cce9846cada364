"""Keeping models: their config and weights in folders and on hubs, and the card beside them."""

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import nn

from hvae_sr.atomic import atomic_folder
from hvae_sr.errors import ModelError
from hvae_sr.models.construction import Constructed
from hvae_sr.models.registry import described_by, find
from hvae_sr.storage import cards, client, serialization, shelf


class Pretrained(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="hvae_sr",
    pipeline_tag="image-to-image",
    license="apache-2.0",
    tags=["super-resolution", "image-upscaling"],
    model_card_template=cards.TEMPLATE,
    metaclass=Constructed,
):
    """A network that JSON keyword arguments describe, saved and loaded as a model folder.

    Raises:
        TypeError, ValueError: for arguments that the schema refuses, see
            `hvae_sr.storage.schema.checked_arguments`.
    """

    name: str  # what it was loaded as, or its class
    revision: str | None  # commit of a hub's model; of others what the weights hash to, shortened
    folder: Path | None  # that it was loaded from

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # What the mixin remembers as the config must not change when a constructor changes a list.
        return super().__new__(cls, *args, **deepcopy(kwargs))

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's keyword arguments, as written to `config.json`."""
        config = self._hub_mixin_config
        assert isinstance(config, dict)
        return deepcopy(config)

    @property
    def full_config(self) -> dict[str, Any]:
        """`config` with module and class: what describes this model to others, and inside them."""
        cls = type(self)
        return {"model_module": cls.__module__, "model_class": cls.__name__, **self.config}

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> str | None:
        """The mixin's `save_pretrained`, whose files appear whole or not at all.

        An existing card stays. The card, scores and training facts of the folder a
        model was loaded from go with it, unless its weights have changed since.
        """
        target = Path(save_directory).resolve()
        kwargs.pop("config", None)  # `push_to_hub` hands over what is written below anyway
        named = {"model_name": target.name, **(kwargs.pop("model_card_kwargs", None) or {})}
        with atomic_folder(target) as folder:
            if (target / cards.CARD).is_file():
                shutil.copy(target / cards.CARD, folder)
            elif self._unchanged():
                assert self.folder is not None
                for file in cards.companions(self.folder):
                    shutil.copy(file, folder)
            config = serialization.written_config(self.full_config)
            return super().save_pretrained(folder, config=config, model_card_kwargs=named, **kwargs)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """The mixin's `push_to_hub`: one commit with weights, config, card and what belongs to it.

        Args:
            repo_id: `owner/name`; it is created when it does not exist.
            kwargs: `token`, `private`, `branch`, `commit_message`, ... as the mixin takes them.

        Returns:
            The address of the commit.

        Raises:
            HubError: when the hub refuses or is out of reach.
        """
        with client.translate_hub_errors(repo_id):
            named = {"model_name": repo_id, **(kwargs.pop("model_card_kwargs", None) or {})}
            return str(super().push_to_hub(repo_id, model_card_kwargs=named, **kwargs))

    def _unchanged(self) -> bool:
        """Whether the weights are still those of the folder the model was loaded from."""
        return self.folder is not None and serialization.holds(self, self.folder)

    def provenance(self) -> tuple[str, str | None]:
        """Name and revision of the weights as they are now, for what is made with them.

        Weights that changed since they were loaded, by fine-tuning say, are not those of their
        revision: the name then says so, and the revision is None. A conversion to another float
        type is no change.
        """
        if self.folder is None or serialization.holds(self, self.folder, converted=True):
            return self.name, self.revision
        return f"{self.name}, changed", None

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        map_location: str | torch.device = "cpu",
        strict: bool = True,
        **expected: Any,
    ) -> Self:
        """Load a bundled model, a folder or a hub repository, strictly, in evaluation mode.

        Replaces the mixin's lenient loading: every tensor must be there, fit and be finite, and
        only safetensors are read. The class is the one that `config.json` names.

        Args:
            pretrained_model_name_or_path: a bundled name, a folder, or `owner/name` on a hub.
            map_location: device of the loaded weights.
            strict: only True, which the mixin lets callers say.
            expected: constructor arguments the weights must have been trained with.

        Raises:
            ModelError: naming the file and the key that is wrong.
            HubError: when the hub refuses, is out of reach or does not have it.
        """
        if not strict:
            raise ModelError("weights are loaded strictly here: leave strict=False out")
        source = shelf.located(pretrained_model_name_or_path)

        def fetch(name: str, revision: str | None) -> Path:
            if isinstance(source, Path):
                return source / name
            return client.download(
                source,
                name,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                token=token,
                local_files_only=local_files_only,
            )

        path = fetch(serialization.CONFIG, revision)
        config = serialization.read_config(path)
        chosen = cls._named(config.pop("model_class", None), config.pop("model_module", None), path)
        for key, value in expected.items():
            if config.get(key) != value:
                raise ModelError(
                    f"{path}: these weights were trained with {key} {config.get(key)!r}, "
                    f"not {value!r}: load a model that was"
                )
        model = serialization.build(chosen, config, path)
        assert isinstance(model, cls)
        # Weights of the same commit, whatever is pushed meanwhile.
        commit = path.parent.name if _in_cache(path.parent) else revision
        version, _ = serialization.format_of(path)
        weights = fetch(serialization.WEIGHTS, commit)
        serialization.load_weights(model, weights, map_location, version)
        model.name = source.resolve().name if isinstance(source, Path) else source
        model.revision = _revision(path.parent)
        model.folder = path.parent
        return model.eval()

    @classmethod
    def _named(cls, name: Any, module: Any, path: Path) -> type[Self]:
        if not isinstance(module, str):
            raise ModelError(f"{path}: key 'model_module' must name the module of the class")
        if name == cls.__name__ and described_by(cls, module):
            return cls
        try:
            found = find(name, module)
        except ValueError as error:
            raise ModelError(f"{path}: key 'model_class': {error}") from error
        if not issubclass(found, cls):
            raise ModelError(f"{path} describes a {name}, not a {cls.__name__}: use hvae_sr.load")
        return found

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card beside the weights while they are as they were loaded, or else a short one.

        The short one is `hvae_sr.storage.cards.TEMPLATE`, filled with the keywords.
        """
        if self._unchanged():
            assert self.folder is not None
            if (self.folder / cards.CARD).is_file():
                return cards.read_card(self.folder / cards.CARD)
        return super().generate_model_card(*args, **kwargs)


def _revision(folder: Path) -> str:
    """The commit a hub's cache keeps files under; of other folders, what the weights hash to."""
    if _in_cache(folder):
        return folder.name
    return serialization.sha256(folder / serialization.WEIGHTS)[:12]


def _in_cache(folder: Path) -> bool:
    return folder.parent.name == "snapshots"
