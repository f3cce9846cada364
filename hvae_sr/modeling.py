"""The contract that every model keeps: construction, loading, `forward`, `loss`, `upscale`."""

import json
from pathlib import Path
from typing import Any, ClassVar, Self, overload

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from PIL import Image
from torch import Tensor, nn

from hvae_sr import pictures, serialization
from hvae_sr.degradation import SCALES, Degradation
from hvae_sr.distributions import Noise
from hvae_sr.errors import ModelError, PictureError

LARGEST_PASS = 2**19  # LR pixels x samples in one pass: about 8 GiB for the bundled models

CARD = """---
{{ card_data }}
---

# {{ model_name }}

A {{ model_class }} for x{{ scale }} super-resolution, degradation `{{ degradation }}`, saved by
the Python package hvae_sr.

```python
import hvae_sr
from PIL import Image

model = hvae_sr.load("path/or/owner/name")
picture = model.upscale(Image.open("in.png"))
```
"""


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
    model_card_template=CARD,
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
        self.degradation = Degradation(degradation, scale) if scale > 1 else None

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's keyword arguments, as written to `config.json`."""
        config = self._hub_mixin_config
        assert isinstance(config, dict)
        return config

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

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
    ) -> Image.Image | list[Image.Image] | Tensor:
        """Enlarge a picture `scale` times.

        Args:
            image: a Pillow picture of any mode and size, or a tensor (N, 3, h, w) in [0, 1].
            num_samples: how many answers; left out, one picture comes back instead of a list
                (tensors: (N, 3, H, W) instead of (N, num_samples, 3, H, W)).
            temperature: scale of the latent standard deviations. 0 gives the single best guess
                (the default for one answer), 1 true samples, 0.8 (the default for several)
                plausible pictures with less noise.
            seed: makes the draws repeatable on one machine.
            generator: the same, as a `torch.Generator`; not together with `seed`.
            consistent: project onto the pictures whose LR version is the input.

        Raises:
            ValueError: for arguments out of range, or samples asked of a deterministic model.
            PictureError: for a picture too large for one pass.
        """
        if seed is not None and generator is not None:
            raise ValueError("give a seed or a generator, not both")
        count = 1 if num_samples is None else num_samples
        if temperature is None:
            temperature = 0.0 if count == 1 else 0.8
        if temperature < 0:
            raise ValueError(f"temperature must not be negative, got {temperature}")
        if count < 1:
            raise ValueError(f"num_samples must be at least 1, got {count}")
        rest = None
        if isinstance(image, Image.Image):
            check_pixels(1, image.width, image.height, count)
            lr, rest = pictures.split(image)
        elif isinstance(image, Tensor):
            lr = image
            if lr.ndim != 4 or lr.shape[1] != 3 or 0 in lr.shape:
                raise ValueError(f"expected pictures (N, 3, h, w), got shape {tuple(lr.shape)}")
            check_pixels(lr.shape[0], lr.shape[3], lr.shape[2], count)
        else:
            raise TypeError(f"expected a Pillow picture or a tensor, got {type(image).__name__}")
        lr = lr.to(self.device)
        noise = Noise(generator if generator is not None else seed)
        answers = self.draw(lr, count, temperature, noise).clamp(0, 1)
        if consistent:
            answers = self.project(answers, lr)
        if rest is None:
            return answers if num_samples is not None else answers[:, 0]
        larger = pictures.enlarged(rest, self.scale)
        images = [pictures.join(answer, larger) for answer in answers[0]]
        return images if num_samples is not None else images[0]

    def project(self, answers: Tensor, lr: Tensor) -> Tensor:
        """Move answers (N, S, 3, H, W) onto the pictures whose LR version is lr (N, 3, h, w)."""
        if self.degradation is None:
            raise ValueError("a model without an LR input has nothing to be consistent with")
        samples = answers.shape[1]
        flat = self.degradation.project(answers.flatten(0, 1), lr.repeat_interleave(samples, dim=0))
        return flat.unflatten(0, (-1, samples))

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> str | None:
        """The mixin's `save_pretrained`, whose files appear whole or not at all."""
        target = Path(save_directory).resolve()
        kwargs.pop("config", None)  # `push_to_hub` hands over what is written below anyway
        with serialization.written_whole(target) as folder:
            if (target / "README.md").is_file():
                (folder / "README.md").write_bytes((target / "README.md").read_bytes())
            config = {
                "format_version": serialization.FORMAT_VERSION,
                "model_class": type(self).__name__,
                **self.config,
            }
            return super().save_pretrained(folder, config=config, **kwargs)

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
            huggingface_hub.errors.HfHubHTTPError: when the hub refuses or is out of reach.
        """
        source = Path(pretrained_model_name_or_path)

        def fetch(name: str) -> Path:
            if source.is_dir():
                return source / name
            return Path(
                hf_hub_download(
                    str(pretrained_model_name_or_path),
                    name,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    token=token,
                    local_files_only=local_files_only,
                )
            )

        path = fetch(serialization.CONFIG)
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
        serialization.load_weights(model, fetch(serialization.WEIGHTS), map_location)
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
        """A card with what the model knows of itself; released cards come from `hvae-sr card`."""
        facts = {
            "model_name": type(self).__name__,
            "model_class": type(self).__name__,
            "scale": self.scale,
            "degradation": self.degradation.name if self.degradation else "none",
        }
        return super().generate_model_card(*args, **{**facts, **kwargs})


def check_pixels(count: int, width: int, height: int, num_samples: int) -> None:
    """Refuse what one pass cannot hold.

    Raises:
        PictureError: saying how large the picture may be.
    """
    if count * height * width * num_samples > LARGEST_PASS:
        allowed = LARGEST_PASS // (count * num_samples)
        raise PictureError(
            f"{count} picture(s) of {width}x{height} with {num_samples} sample(s) do not fit one "
            f"pass: use at most {allowed} pixels a picture, or fewer samples"
        )
