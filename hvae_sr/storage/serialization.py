"""Model folders: `config.json` and `model.safetensors`, read strictly and written whole.

Nothing here ever unpickles. A model's arguments are checked (`schema.py`), it is built on the meta
device, where a hostile configuration costs no memory, and compared with the header of the weight
file; only then is anything allocated, and never more than the file holds.
"""

import hashlib
import json
import re
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from hvae_sr.errors import ModelError, shown
from hvae_sr.registry import INTERACTIVE
from hvae_sr.storage.schema import check_structure
from hvae_sr.version import __version__

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
FORMAT_VERSION = 3
CONFIG_BYTES = 64 * 1024
Model = TypeVar("Model", bound=nn.Module)
LONGEST_NAME = 100  # of a class, in messages
VERSION = re.compile(r"\d[\w.+]{0,30}")
DTYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


def _from_1(config: dict[str, Any]) -> dict[str, Any]:
    """Format 1 did not say which version wrote it; 0.1.0 was the only one."""
    return {**config, "hvae_sr_version": "0.1.0"}


# The package's classes in format 2, which named no module and enlarged with a = -0.75 alone: module
# and class of today. `SRCNN` and `EDSR` were then other networks than those of the papers.
_OF_FORMAT_2 = {
    "BIVA": ("biva", "BIVA"),
    "EDSR": ("fast", "FastCNN"),
    "HVAE": ("hvae", "HVAE"),
    "LadderVAE": ("ladder", "LadderVAE"),
    "NVAE": ("nvae", "NVAE"),
    "SRCNN": ("study", "StudyCNN"),
    "SRGAN": ("srgan", "SRGAN"),
    "SRResNet": ("srgan", "SRResNet"),
    "SRVAE": ("srvae", "SRVAE"),
    "VAE": ("vae", "VAE"),
}
# What a class computed in format 2 where it computes something else today by default.
_AS_IN_FORMAT_2 = {"HVAE": {"posterior_sees": "updated", "projection_scale": 1.0}}
# Classes whose networks of format 2 were not those of the papers and are gone: the preset of what
# took their place in `REPLACED_IN`.
_GONE_IN_FORMAT_2 = {
    "BIVA": "biva-cifar10-x4",
    "LadderVAE": "ladder-cifar10-x4",
    "NVAE": "nvae-cifar10-x4",
    "SRVAE": "srvae-cifar10-x4",
}
REPLACED_IN = "0.2"
_PARTS = ("lr_prior", "base_model")  # keys that hold the config of a model inside a model


def _from_2(config: dict[str, Any]) -> dict[str, Any]:
    """Format 2 named no module, called the base model `regression`, and knew one enlargement.

    Classes that are not of the package were recognised by their name alone, and still are.

    Raises:
        ModelError: for a class of the package whose network is another one now.
    """
    config = dict(config)
    if "regression" in config:
        config["base_model"] = config.pop("regression")
    for part in _PARTS:
        if isinstance(config.get(part), dict):
            config[part] = _from_2(config[part])
    name = config.get("model_class")
    if not isinstance(name, str) or name not in _OF_FORMAT_2:
        return {**config, "model_module": INTERACTIVE}
    if name in _GONE_IN_FORMAT_2:
        raise ModelError(
            f"these weights are of the {name} before version {REPLACED_IN}, which was another "
            f"network: train it anew with --preset {_GONE_IN_FORMAT_2[name]}, or load a model that "
            "`hvae-sr list` names"
        )
    file, name = _OF_FORMAT_2[name]
    described = {"model_module": f"hvae_sr.models.{file}", "model_class": name}
    return {"enlargement": "bicubic_075", **_AS_IN_FORMAT_2.get(name, {}), **config, **described}


# From each older format to the next one: configs, and names of tensors of the package's classes.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: _from_2}
RENAMED: dict[int, list[tuple[str, str]]] = {
    2: [
        (r"(^|\.)regression\.", r"\1base_model."),
        (r"(^|\.)bottom_up\.", r"\1encoder."),
        (r"(^|\.)top_down\.", r"\1decoder."),
        # of a VAE, which has one level with one latent
        (r"^encoder\.stem\.", "encoder."),
        (r"^encoder\.levels\.0\.", "encoder.2."),
        (r"^decoder\.levels\.0\.0\.", ""),
    ]
}


def current_name(tensor: str, version: int, known: Container[str]) -> str:
    """What a tensor is called today that a file of an older format calls `tensor`.

    Args:
        known: the names of a model; a name that is among them needs no other one.
    """
    for older in range(version, FORMAT_VERSION):
        for pattern, replacement in RENAMED.get(older, []):
            if tensor in known:
                return tensor
            tensor = re.sub(pattern, replacement, tensor)
    return tensor


def read_config(path: Path) -> dict[str, Any]:
    """Parse a `config.json` of this format or an older one: model class and arguments.

    Raises:
        ModelError: naming the file and what is wrong with it, or the version to install.
    """
    config = _checked(path)
    version = config.pop("format_version", None)
    if type(version) is not int or version < 1:
        raise ModelError(f"{path}: key 'format_version' is {shown(version)}: expected 1 or more")
    if version > FORMAT_VERSION:
        raise ModelError(_too_new(path, version, config.get("hvae_sr_version")))
    for older in range(version, FORMAT_VERSION):
        config = MIGRATIONS[older](config)
    if not isinstance(config.pop("hvae_sr_version", None), str):
        raise ModelError(f"{path}: key 'hvae_sr_version' must name the version that wrote it")
    return config


def written_config(described: dict[str, Any]) -> dict[str, Any]:
    """What `config.json` holds of a described model (`full_config`), in the format of today."""
    return {"format_version": FORMAT_VERSION, "hvae_sr_version": __version__, **described}


def format_of(path: Path) -> tuple[int, str | None]:
    """Format of a readable `config.json`, and the version that wrote it where that is known."""
    config = _checked(path)
    return config["format_version"], config.get("hvae_sr_version")


def sha256(path: Path) -> str:
    """What a file hashes to, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _too_new(path: Path, version: int, writer: Any) -> str:
    stated = isinstance(writer, str) and VERSION.fullmatch(writer)
    version_of_writer = f"hvae_sr {writer}" if stated else "a newer hvae_sr"
    remedy = f'pip install "hvae-sr>={writer}"' if stated else "pip install --upgrade hvae-sr"
    return (
        f"{path} was written by {version_of_writer} in format {version}, this is hvae_sr "
        f"{__version__} and reads up to format {FORMAT_VERSION}: {remedy}"
    )


def _checked(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path} is missing: a model folder needs {CONFIG} and {WEIGHTS}")
    if path.stat().st_size > CONFIG_BYTES:
        raise ModelError(f"{path} is larger than {CONFIG_BYTES} bytes: it is not a model config")
    try:
        config = json.loads(
            path.read_text(encoding="utf-8"),
            parse_constant=_no_number,
            object_pairs_hook=_without_duplicates,
        )
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} must hold a JSON object")
    try:
        check_structure(config, _shown_class(config))
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    return config


def _shown_class(config: dict[str, Any]) -> str:
    name: Any = config.get("model_class")
    printable = isinstance(name, str) and name.isidentifier() and len(name) <= LONGEST_NAME
    return name if printable else "this model"


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(twice)} is given twice")
    return found


def build(cls: type[Model], config: dict[str, Any], path: Path) -> Model:
    """Construct `cls(**config)` on the meta device, without memory for weights.

    Args:
        cls: a class that checks its arguments and bounds its constructor.

    Raises:
        ModelError: for arguments that the class refuses.
    """
    try:
        with torch.device("meta"):
            return cls(**config)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from error
    except (LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise ModelError(f"{path} does not describe a {cls.__name__}: {error}") from error


def load_weights(
    model: nn.Module, path: Path, device: str | torch.device, version: int = FORMAT_VERSION
) -> None:
    """Fill a meta model from a safetensors file, strictly; float types are cast to float32.

    Args:
        version: of the format that the file's names are of.

    Raises:
        ModelError: for a missing or truncated file, missing, surplus or wrong-shaped tensors, and
            values that are not finite, naming the file and the key; for a device that cannot be
            used.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing: a model folder needs {CONFIG} and {WEIGHTS}")
    try:
        with safe_open(path, framework="pt") as file:
            stored = _stored_names(model, file, version)
            _check_keys(model, file, stored, path)
            state = {key: file.get_tensor(name) for key, name in stored.items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is not a complete safetensors file ({error}): download it again"
        ) from error
    for key, tensor in state.items():
        state[key] = tensor.float()
        if not torch.isfinite(state[key]).all():
            raise ModelError(f"{path}: tensor {key!r} holds NaN or infinite values")
    model.load_state_dict(state, strict=True, assign=True)
    try:
        model.to(device)
    except (RuntimeError, AssertionError, TypeError) as error:
        said = str(error).partition("\n")[0]
        raise ModelError(f"device {shown(str(device))} cannot be used: {said}") from error


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of a model's weights: their names and their values as float32, however stored."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def holds(model: nn.Module, folder: Path, *, converted: bool = False) -> bool:
    """Whether a model folder has exactly the tensors of a model, whatever float type keeps them.

    Args:
        converted: the model may have lost digits in another float type (`model.half()`).
    """
    path = folder / WEIGHTS
    if not path.is_file():
        return False
    state = model.state_dict()
    with safe_open(path, framework="pt") as file:
        stored = _stored_names(model, file, format_of(folder / CONFIG)[0])
        return state.keys() == stored.keys() and all(
            torch.equal(
                file.get_tensor(stored[key]).to(tensor.dtype if converted else torch.float32),
                (tensor if converted else tensor.float()).cpu(),
            )
            for key, tensor in state.items()
        )


def _stored_names(model: nn.Module, file: Any, version: int) -> dict[str, str]:
    """Names of tensors today -> their names in a weight file.

    A name that the model knows stays: classes that are not of the package renamed nothing.
    """
    known = model.state_dict().keys()
    names = list(file.keys())
    return {current_name(name, version, known): name for name in names}


def _check_keys(model: nn.Module, file: Any, stored: dict[str, str], path: Path) -> None:
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    slices = {key: file.get_slice(name) for key, name in stored.items()}
    found = {key: tuple(part.get_shape()) for key, part in slices.items()}
    for key in sorted(expected.keys() - found.keys()):
        raise ModelError(f"{path}: tensor {key!r} is missing")
    for key in sorted(found.keys() - expected.keys()):
        raise ModelError(f"{path}: tensor {shown(key)} does not belong to this model")
    for key, shape in expected.items():
        if found[key] != shape:
            raise ModelError(f"{path}: tensor {key!r} has shape {found[key]}, expected {shape}")
        if slices[key].get_dtype() not in DTYPES:
            raise ModelError(
                f"{path}: tensor {key!r} is {slices[key].get_dtype()}, expected one of {DTYPES}"
            )
