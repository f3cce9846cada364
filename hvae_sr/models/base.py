"""The contract that every model keeps: construction, loading, `forward`, `loss`, `upscale`."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack, overload

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import Tensor, nn

from hvae_sr.atomic import atomic_folder
from hvae_sr.degradations import SCALES, get_degradation
from hvae_sr.errors import ModelError
from hvae_sr.models.registry import BASES, MODELS, described_by, find
from hvae_sr.nn.footprint import Footprint, measure
from hvae_sr.nn.latents import Decode, checked_decode
from hvae_sr.nn.noise import Noise
from hvae_sr.storage import cards, client, serialization

if TYPE_CHECKING:
    from PIL import Image

    from hvae_sr.upscaling.options import DrawKeywords


def _revision(folder: Path) -> str:
    """The commit a hub's cache keeps files under; of other folders, what the weights hash to."""
    if _in_cache(folder):
        return folder.name
    return serialization.sha256(folder / serialization.WEIGHTS)[:12]


def _in_cache(folder: Path) -> bool:
    return folder.parent.name == "snapshots"


def factors(scale: int) -> list[int]:
    """The upscaling steps of a scale, coarse to fine: x4 is x2 twice.

    Raises:
        ValueError: for a scale that is not 1, 2, 3 or 4.
    """
    steps = {1: [], 2: [2], 3: [3], 4: [2, 2]}
    if scale not in steps:
        raise ValueError(f"scale must be one of {SCALES}, not {scale!r}")
    return steps[scale]


class SuperResolutionModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="hvae_sr",
    pipeline_tag="image-to-image",
    license="apache-2.0",
    tags=["super-resolution", "image-upscaling"],
    model_card_template=cards.TEMPLATE,
):
    """Base of all models: pictures are float NCHW RGB in [0, 1] at every public border.

    Subclasses take plain JSON keyword arguments (they become `config.json`) and implement
    `forward`, `loss` and, when they can give several answers, `draw`.

    Args:
        scale: HR pixels per LR pixel along each side; 1 for models of the LR picture itself.
        degradation: name of the degradation the weights are for.

    Raises:
        TypeError: for an argument that JSON cannot hold.
        ValueError: for an unknown scale or degradation.
    """

    is_stochastic: ClassVar[bool] = False  # whether it can give several outputs
    is_conditional: bool = True  # whether its output depends on the LR image alone, not on p(x)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__ not in BASES:
            MODELS.add(cls.__name__, cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # The mixin drops what JSON cannot hold, and config.json would then name the default.
        names = list(cls._hub_mixin_init_parameters)[1:]
        for name, value in {**dict(zip(names, args, strict=False)), **kwargs}.items():
            try:
                json.dumps(value)
            except (TypeError, ValueError) as error:
                raise TypeError(f"{name} must be something JSON can hold: {error}") from error
            serialization.check_values(value, name)  # else it could be saved, but not loaded
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, scale: int, degradation: str):
        super().__init__()
        factors(scale)
        self.scale = scale
        self.degradation = get_degradation(degradation, scale) if scale > 1 else None
        self.name = type(self).__name__
        self.revision: str | None = None
        self.folder: Path | None = None
        self._footprint: Footprint | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's keyword arguments, as written to `config.json`."""
        config = self._hub_mixin_config
        assert isinstance(config, dict)
        return config

    @property
    def full_config(self) -> dict[str, Any]:
        """`config` with module and class: what describes this model to others, and inside them."""
        cls = type(self)
        return {"model_module": cls.__module__, "model_class": cls.__name__, **self.config}

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def size_multiple(self) -> int:
        """What the sides of an LR image must be a multiple of; `upscale` pads to it."""
        return 1

    @property
    def receptive_field(self) -> int:
        """Radius of the receptive field in LR pixels, measured once; see `Footprint`."""
        return self.footprint.receptive_field

    @property
    def footprint(self) -> Footprint:
        """How far the network looks and how much memory it takes, measured once."""
        if self._footprint is None:
            self._footprint = measure(self, self.size_multiple)
        return self._footprint

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) -> the single best HR estimate (N, 3, h * scale, w * scale)."""
        raise NotImplementedError

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """Training objective: scalars to log, of which those of `players` are minimised.

        Args:
            hr: (N, 3, H, W) in [0, 1], exactly multiples of 1 / 255.
            lr: its LR version (N, 3, H / scale, W / scale).
        """
        raise NotImplementedError

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Who is trained: a term of `loss` -> the parameters that minimise it, and it alone.

        One player minimises `loss`. Where there are two, as in adversarial training, the gradient
        of a term reaches its own player's parameters alone: one backward pass of the sum then
        gives each the gradient of its own problem. Each has a parameter group of the optimiser to
        itself, with a learning rate and a clip norm of its own (`Recipe.players`).
        """
        return {"loss": [p for p in self.parameters() if p.requires_grad]}

    def draw(
        self,
        lr: Tensor,
        num_samples: int,
        temperature: float,
        noise: Noise,
        decode: Decode = "mean",
    ) -> Tensor:
        """LR (N, 3, h, w) -> outputs (N, num_samples, 3, H, W), in one batched pass.

        Raises:
            ValueError: when the model has one output only and several are asked for.
        """
        if num_samples != 1 or temperature != 0 or checked_decode(decode) != "mean":
            raise ValueError(
                f"a {type(self).__name__} has one answer: leave num_samples, temperature and "
                "decode out"
            )
        return self(lr).unsqueeze(1)

    def draw_with_variance(
        self,
        lr: Tensor,
        num_samples: int,
        temperature: float,
        noise: Noise,
        decode: Decode = "mean",
    ) -> Tensor:
        """Of stochastic models: `draw`, then mean and variance: (N, num_samples, 9, H, W)."""
        raise NotImplementedError

    @overload
    def upscale(
        self,
        image: "Image.Image",
        *,
        num_samples: None = None,
        generator: torch.Generator | None = None,
        **options: "Unpack[DrawKeywords]",
    ) -> "Image.Image": ...

    @overload
    def upscale(
        self,
        image: "Image.Image",
        *,
        num_samples: int,
        generator: torch.Generator | None = None,
        **options: "Unpack[DrawKeywords]",
    ) -> "list[Image.Image]": ...

    @overload
    def upscale(
        self,
        image: Tensor,
        *,
        num_samples: int | None = None,
        generator: torch.Generator | None = None,
        **options: "Unpack[DrawKeywords]",
    ) -> Tensor: ...

    def upscale(
        self,
        image: "Image.Image | Tensor",
        *,
        num_samples: int | None = None,
        generator: torch.Generator | None = None,
        **options: "Unpack[DrawKeywords]",
    ) -> "Image.Image | list[Image.Image] | Tensor":
        """Enlarge an image of any size `scale` times: `Upscaler` in one line.

        Args:
            image: a Pillow image of any mode and size, or a tensor (N, 3, h, w) in [0, 1].
            num_samples: how many outputs; left out, one image comes back instead of a list
                (tensors: (N, 3, H, W) instead of (N, num_samples, 3, H, W)).
            generator: a `torch.Generator` to draw the seed from; not together with `seed`.
            options: `temperature`, `seed`, `decode`, `consistent`, `tile`, `dtype`, `size`: see
                `UpscaleOptions`.

        Raises:
            ValueError, ImageError, ModelError: as `Upscaler` does.
        """
        from hvae_sr.upscaling import Upscaler  # upwards: only this line needs the room above

        outputs = Upscaler(self).images(
            image, num_samples=num_samples, generator=generator, **options
        )
        if num_samples is not None:
            return outputs
        return outputs[:, 0] if isinstance(outputs, Tensor) else outputs[0]

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> str | None:
        """The mixin's `save_pretrained`, whose files appear whole or not at all.

        A card that is there already stays. The card, scores and training facts of the folder a
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
            repo_id: `owner/name`; it is created when it is not there.
            kwargs: `token`, `private`, `branch`, `commit_message`, ... as the mixin takes them.

        Returns:
            The address of the commit.

        Raises:
            HubError: when the hub refuses or is out of reach.
        """
        with client.said_plainly(repo_id):
            named = {"model_name": repo_id, **(kwargs.pop("model_card_kwargs", None) or {})}
            return str(super().push_to_hub(repo_id, model_card_kwargs=named, **kwargs))

    def _unchanged(self) -> bool:
        """Whether the weights are still those of the folder the model was loaded from."""
        return self.folder is not None and serialization.holds(self, self.folder)

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
        **expected: Any,
    ) -> Self:
        """Load a model from a folder or a hub repository, strictly, in evaluation mode.

        Replaces the mixin's lenient loading: every tensor must be there, fit and be finite, and
        only safetensors are read. The class is the one that `config.json` names.

        Args:
            pretrained_model_name_or_path: a folder, or `owner/name` on a hub.
            map_location: device of the loaded weights.
            expected: constructor arguments the weights must have been trained with.

        Raises:
            ModelError: naming the file and the key that is wrong.
            HubError: when the hub refuses, is out of reach or does not have it.
        """
        source = Path(pretrained_model_name_or_path)

        def fetch(name: str, revision: str | None) -> Path:
            if source.is_dir():
                return source / name
            return client.download(
                str(pretrained_model_name_or_path),
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
        model.name = source.resolve().name if source.is_dir() else str(source)
        model.revision = _revision(path.parent)
        model.folder = path.parent
        return model.eval()

    @classmethod
    def _named(cls, name: Any, module: Any, path: Path) -> type["SuperResolutionModel"]:
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

        The short one says what the class is, how to use it, and that it has not been evaluated.
        """
        if self._unchanged():
            assert self.folder is not None
            if (self.folder / cards.CARD).is_file():
                return ModelCard.load(self.folder / cards.CARD)
        return super().generate_model_card(*args, **{**cards.facts(self), **kwargs})
