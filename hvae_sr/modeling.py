"""The contract that every model keeps: construction, loading, `forward`, `loss`, `upscale`."""

import json
import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, overload

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from PIL import Image
from torch import Tensor, nn

from hvae_sr import cards, pictures, remote, serialization, tiling
from hvae_sr.degradations import SCALES, get_degradation
from hvae_sr.errors import ModelError
from hvae_sr.nn.noise import Noise, NoiseField
from hvae_sr.nn.resize import quantise, reflect

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LARGEST_SEED = 2**31
IDENTICAL = 1e-10  # a squared error that counts as 100 dB


@dataclass(frozen=True)
class Upscaled:
    """Everything that `explore` found out about a picture.

    Args:
        samples: the answers: Pillow pictures, or (N, S, 3, H, W) in [0, 1] for tensors.
        mean: their mean, which approaches the picture of least squared error: a Pillow picture,
            or (N, 3, H, W).
        std: per-pixel standard deviation over the samples, (N, 3, H, W) in units of [0, 1]: where
            the model is unsure. Zeros when there is one sample.
        lr_psnr: (N, S) in dB: each sample, rounded to 8 bits and shrunk without rounding, against
            the input. 45 dB and more means a possible HR version of it; 100 is the most.
        temperature: of the draws.
        seed: of the draws; with it they can be repeated.
    """

    samples: list[Image.Image] | Tensor
    mean: Image.Image | Tensor
    std: Tensor
    lr_psnr: Tensor
    temperature: float
    seed: int


@dataclass(frozen=True)
class _Request:
    """What is asked of the network, checked: the arguments that `upscale` and `explore` share."""

    samples: int
    temperature: float
    seed: int
    consistent: bool
    tile: int | None
    dtype: torch.dtype

    @classmethod
    def checked(
        cls,
        *,
        samples: int,
        temperature: float,
        seed: int | None,
        generator: torch.Generator | None,
        consistent: bool,
        tile: int | None,
        dtype: str | torch.dtype,
    ) -> Self:
        if seed is not None and generator is not None:
            raise ValueError("give a seed or a generator, not both")
        if not temperature >= 0:
            raise ValueError(f"temperature must not be negative, got {temperature}")
        if samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {samples}")
        if tile is not None and tile < 1:
            raise ValueError(f"tile must be at least 1 pixel, got {tile}")
        chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
        if chosen is None or chosen not in DTYPES.values():
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
        if seed is None:
            # At temperature 0 nothing is drawn, and no generator moves.
            seed = _random_seed(generator) if temperature > 0 else 0
        return cls(samples, float(temperature), seed, consistent, tile, chosen)


def _revision(folder: Path) -> str:
    """The commit a hub's cache keeps files under; of other folders, what the weights hash to."""
    if _in_cache(folder):
        return folder.name
    return serialization.sha256(folder / serialization.WEIGHTS)[:12]


def _in_cache(folder: Path) -> bool:
    return folder.parent.name == "snapshots"


def _random_seed(generator: torch.Generator | None) -> int:
    device = generator.device if generator is not None else None
    return int(torch.randint(LARGEST_SEED, (), generator=generator, device=device))


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

    classes: ClassVar[dict[str, type["SuperResolutionModel"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        SuperResolutionModel.classes[cls.__name__] = cls

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # The mixin drops what JSON cannot hold, and config.json would then name the default.
        names = list(cls._hub_mixin_init_parameters)[1:]
        for name, value in {**dict(zip(names, args, strict=False)), **kwargs}.items():
            try:
                json.dumps(value)
            except (TypeError, ValueError) as error:
                raise TypeError(f"{name} must be something JSON can hold: {error}") from error
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, scale: int, degradation: str):
        super().__init__()
        factors(scale)
        self.scale = scale
        self.degradation = get_degradation(degradation, scale) if scale > 1 else None
        self.name = type(self).__name__
        self.revision: str | None = None
        self.folder: Path | None = None
        self._measured: tiling.Needs | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's keyword arguments, as written to `config.json`."""
        config = self._hub_mixin_config
        assert isinstance(config, dict)
        return config

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def multiple(self) -> int:
        """What the sides of an LR picture must be a multiple of; `upscale` pads to it."""
        return 1

    @property
    def context(self) -> int:
        """Radius of the receptive field in LR pixels, measured once; see `tiling.Needs`."""
        return self._needs.context

    @property
    def _needs(self) -> tiling.Needs:
        if self._measured is None:
            self._measured = tiling.measure(self, self.multiple)
        return self._measured

    def forward(self, lr: Tensor) -> Tensor:
        """LR (N, 3, h, w) -> the single best HR estimate (N, 3, h * scale, w * scale)."""
        raise NotImplementedError

    def loss(self, hr: Tensor, lr: Tensor) -> dict[str, Tensor]:
        """Training objective: scalars to log, of which `loss` is to be minimised.

        Args:
            hr: (N, 3, H, W) in [0, 1], exactly multiples of 1 / 255.
            lr: its LR version (N, 3, H / scale, W / scale).
        """
        raise NotImplementedError

    def draw(self, lr: Tensor, num_samples: int, temperature: float, noise: Noise) -> Tensor:
        """LR (N, 3, h, w) -> answers (N, num_samples, 3, H, W), in one batched pass.

        Raises:
            ValueError: when the model has one answer only and several are asked for.
        """
        if num_samples != 1 or temperature != 0:
            raise ValueError(
                f"a {type(self).__name__} has one answer: leave num_samples and temperature out"
            )
        return self(lr).unsqueeze(1)

    @overload
    def upscale(
        self,
        image: Image.Image,
        *,
        num_samples: None = None,
        temperature: float | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        consistent: bool = False,
        tile: int | None = None,
        dtype: str | torch.dtype = "float32",
    ) -> Image.Image: ...

    @overload
    def upscale(
        self,
        image: Image.Image,
        *,
        num_samples: int,
        temperature: float | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        consistent: bool = False,
        tile: int | None = None,
        dtype: str | torch.dtype = "float32",
    ) -> list[Image.Image]: ...

    @overload
    def upscale(
        self,
        image: Tensor,
        *,
        num_samples: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        consistent: bool = False,
        tile: int | None = None,
        dtype: str | torch.dtype = "float32",
    ) -> Tensor: ...

    @torch.inference_mode()
    def upscale(
        self,
        image: Image.Image | Tensor,
        *,
        num_samples: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        consistent: bool = False,
        tile: int | None = None,
        dtype: str | torch.dtype = "float32",
    ) -> Image.Image | list[Image.Image] | Tensor:
        """Enlarge a picture of any size `scale` times.

        Large pictures are cut into tiles that overlap by what the network sees, so that the
        result does not depend on them; time grows with the pixels, memory with the tile.

        Args:
            image: a Pillow picture of any mode and size, or a tensor (N, 3, h, w) in [0, 1].
            num_samples: how many answers; left out, one picture comes back instead of a list
                (tensors: (N, 3, H, W) instead of (N, num_samples, 3, H, W)).
            temperature: scale of the latent standard deviations. 0 gives the single best guess
                (the default for one answer), 1 true samples, 0.8 (the default for several)
                plausible pictures with less noise.
            seed: makes the draws repeatable on one machine. Noise belongs to places of the
                picture, so that a seed names the same answer whatever the tiles.
            generator: a `torch.Generator` to draw the seed from; not together with `seed`.
            consistent: project onto the pictures whose LR version is the input.
            tile: LR pixels per side of a tile; left out, chosen from the memory there is. It is
                halved and tried again when memory runs out.
            dtype: precision of the network: `float32`, or `bfloat16` or `float16` (by autocast).
                A tile that overflows is redone in float32, with a warning.

        Raises:
            ValueError: for arguments out of range, or samples asked of a deterministic model.
            PictureError: when not even the smallest tile fits in memory.
            ModelError: when the network gives values that are not finite.
        """
        samples = 1 if num_samples is None else num_samples
        if temperature is None:
            temperature = 0.0 if samples == 1 else 0.8
        request = _Request.checked(
            samples=samples,
            temperature=temperature,
            seed=seed,
            generator=generator,
            consistent=consistent,
            tile=tile,
            dtype=dtype,
        )
        lr, rest = self._input(image)
        answers = self._answers(lr, request)
        if rest is None:
            return answers if num_samples is not None else answers[:, 0]
        larger = pictures.enlarged(rest, self.scale)
        images = [pictures.join(answer, larger) for answer in answers[0]]
        return images if num_samples is not None else images[0]

    @torch.inference_mode()
    def explore(
        self,
        image: Image.Image | Tensor,
        *,
        num_samples: int = 8,
        temperature: float = 0.8,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        consistent: bool = False,
        tile: int | None = None,
        dtype: str | torch.dtype = "float32",
    ) -> Upscaled:
        """`upscale` for those who want more than a picture: what the answers have in common.

        Args:
            image, num_samples, temperature, seed, generator, consistent, tile, dtype: see
                `upscale`. Without a seed one is drawn, and named in the result.

        Raises:
            ValueError, PictureError, ModelError: as `upscale` does. A deterministic model takes
                `num_samples=1, temperature=0` only.
        """
        request = _Request.checked(
            samples=num_samples,
            temperature=temperature,
            seed=seed,
            generator=generator,
            consistent=consistent,
            tile=tile,
            dtype=dtype,
        )
        lr, rest = self._input(image)
        answers = self._answers(lr, request)
        mean = answers.mean(dim=1)
        found = Upscaled(
            samples=answers,
            mean=mean,
            std=answers.std(dim=1, correction=int(num_samples > 1)),
            lr_psnr=self._lr_psnr(answers, lr),
            temperature=request.temperature,
            seed=request.seed,
        )
        if rest is None:
            return found
        larger = pictures.enlarged(rest, self.scale)
        images = [pictures.join(answer, larger) for answer in answers[0]]
        return replace(found, samples=images, mean=pictures.join(mean[0], larger))

    def _lr_psnr(self, answers: Tensor, lr: Tensor) -> Tensor:
        """(N, S, 3, H, W) against its LR picture (N, 3, h, w) -> (N, S) in dB."""
        assert self.degradation is not None
        residuals = [self.degradation.residual(quantise(s), lr) for s in answers.unbind(dim=1)]
        errors = torch.stack([r.square().mean(dim=(1, 2, 3)) for r in residuals], dim=1)
        return -10 * errors.clamp_min(IDENTICAL).log10()

    def _input(self, image: Image.Image | Tensor) -> tuple[Tensor, pictures.Rest | None]:
        """A picture as users hand it over -> LR (N, 3, h, w) on the model's device, and its rest.

        Raises:
            ValueError: for tensors of another shape or type.
            TypeError: for what is no picture.
        """
        if isinstance(image, Image.Image):
            lr, rest = pictures.split(image)
            return lr.to(self.device), rest
        if not isinstance(image, Tensor):
            raise TypeError(f"expected a Pillow picture or a tensor, got {type(image).__name__}")
        if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
            raise ValueError(f"expected pictures (N, 3, h, w), got shape {tuple(image.shape)}")
        if not image.is_floating_point():
            raise ValueError(f"expected floats in [0, 1], got {image.dtype}: divide by 255 first")
        return image.to(self.device, torch.float32), None

    def _answers(self, lr: Tensor, request: _Request) -> Tensor:
        """LR (N, 3, h, w) -> (N, S, 3, H, W) in [0, 1]; the tile shrinks until it fits."""
        height, width = lr.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        padded = reflect(lr, padding) if any(padding) else lr
        high, wide = padded.shape[-2:]
        rows = lr.shape[0] * request.samples
        field = NoiseField(request.seed, high, wide, rows, self.multiple)
        answers = tiling.upscaled(
            lambda part: self._pass(padded, part, request, field),
            padded,
            scale=self.scale,
            samples=request.samples,
            tile=request.tile,
            multiple=self.multiple,
            needs=lambda: self._needs,
        )
        answers = answers[..., : height * self.scale, : width * self.scale].clamp_(0, 1)
        return self.project(answers, lr) if request.consistent else answers

    def _pass(self, lr: Tensor, part: tiling.Part, request: _Request, field: NoiseField) -> Tensor:
        """One pass of the network over a part of a batch: (answers, 3, H, W), finite."""
        tile = lr[part.pictures, :, part.vertical, part.horizontal]
        for dtype in dict.fromkeys((request.dtype, torch.float32)):
            half = dtype != torch.float32  # else switch off what the caller may have switched on
            noise = field.window(part.rows, part.vertical, part.horizontal)
            with torch.autocast(lr.device.type, dtype=dtype if half else None, enabled=half):
                answers = self.draw(tile, part.samples, request.temperature, noise)
            if answers.sum(dtype=torch.float32).isfinite():
                return answers.flatten(0, 1)
            if half:
                warnings.warn(
                    f"{dtype} overflowed in a tile: it is redone in float32", stacklevel=2
                )
        raise ModelError("the network gave values that are not finite: check picture and weights")

    def project(self, answers: Tensor, lr: Tensor) -> Tensor:
        """Move answers (N, S, 3, H, W) onto the pictures whose LR version is lr (N, 3, h, w)."""
        if self.degradation is None:
            raise ValueError("a model without an LR input has nothing to be consistent with")
        samples = answers.shape[1]
        flat = self.degradation.project(answers.flatten(0, 1), lr.repeat_interleave(samples, dim=0))
        return flat.unflatten(0, (-1, samples))

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> str | None:
        """The mixin's `save_pretrained`, whose files appear whole or not at all.

        A card that is there already stays. The card, scores and training facts of the folder a
        model was loaded from go with it, unless its weights have changed since.
        """
        target = Path(save_directory).resolve()
        kwargs.pop("config", None)  # `push_to_hub` hands over what is written below anyway
        named = {"model_name": target.name, **(kwargs.pop("model_card_kwargs", None) or {})}
        with serialization.written_whole(target) as folder:
            if (target / cards.CARD).is_file():
                shutil.copy(target / cards.CARD, folder)
            elif self._unchanged():
                assert self.folder is not None
                for file in cards.companions(self.folder):
                    shutil.copy(file, folder)
            config = serialization.written_config(type(self).__name__, self.config)
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
        with remote.said_plainly(repo_id):
            named = {"model_name": repo_id, **(kwargs.pop("model_card_kwargs", None) or {})}
            return str(super().push_to_hub(repo_id, model_card_kwargs=named, **kwargs))

    def _unchanged(self) -> bool:
        """Whether the weights are still those of the folder the model was loaded from."""
        return self.folder is not None and serialization.holds(
            self, self.folder / serialization.WEIGHTS
        )

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
            return remote.download(
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
        chosen = cls._named(config.pop("model_class", None), path)
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
        serialization.load_weights(model, fetch(serialization.WEIGHTS, commit), map_location)
        model.name = source.resolve().name if source.is_dir() else str(source)
        model.revision = _revision(path.parent)
        model.folder = path.parent
        return model.eval()

    @classmethod
    def _named(cls, name: Any, path: Path) -> type["SuperResolutionModel"]:
        known = SuperResolutionModel.classes
        if not isinstance(name, str) or name not in known:
            raise ModelError(
                f"{path}: key 'model_class' is {name!r}, not one of {', '.join(sorted(known))}"
            )
        if not issubclass(known[name], cls):
            raise ModelError(f"{path} describes a {name}, not a {cls.__name__}: use hvae_sr.load")
        return known[name]

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card beside the weights while they are as they were loaded, or else a short one.

        The short one says what the class is, how to use it, and that it has not been evaluated.
        """
        if self._unchanged():
            assert self.folder is not None
            if (self.folder / cards.CARD).is_file():
                return ModelCard.load(self.folder / cards.CARD)
        return super().generate_model_card(*args, **{**cards.facts(self), **kwargs})
