"""Model folders: `config.json` and `model.safetensors`, read strictly and written whole.

Nothing here ever unpickles. A model is first built on the meta device, where a hostile
configuration costs no memory, and compared with the header of the weight file; only then is
anything allocated, and never more than the file holds.
"""

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from hvae_sr.errors import ModelError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
FORMAT_VERSION = 1
CONFIG_BYTES = 64 * 1024
LARGEST_INTEGER = 4096
LONGEST_LIST = 64
DTYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


def read_config(path: Path) -> dict[str, Any]:
    """Parse a `config.json`; its numbers are checked to be sane before any model is built.

    Raises:
        ModelError: naming the file and what is wrong with it.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing: a model folder needs {CONFIG} and {WEIGHTS}")
    if path.stat().st_size > CONFIG_BYTES:
        raise ModelError(f"{path} is larger than {CONFIG_BYTES} bytes: this is no model config")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} must hold a JSON object")
    _check_version(config, path)
    _check_values(config, str(path))
    return config


def _check_version(config: dict[str, Any], path: Path) -> None:
    version = config.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{path}: key 'format_version' is {version!r}, this hvae_sr reads {FORMAT_VERSION}: "
            "install the hvae_sr version that wrote the model"
        )


def _check_values(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_values(item, f"{where}: key {key!r}")
    elif isinstance(value, list):
        if len(value) > LONGEST_LIST:
            raise ModelError(f"{where} has more than {LONGEST_LIST} entries")
        for item in value:
            _check_values(item, where)
    elif isinstance(value, int | float) and not 0 <= value <= LARGEST_INTEGER:
        raise ModelError(f"{where} is {value}: expected 0 to {LARGEST_INTEGER}")


def build(cls: type[nn.Module], config: dict[str, Any], path: Path) -> nn.Module:
    """Construct `cls(**config)` on the meta device.

    Raises:
        ModelError: for keys the class does not know, or values it refuses.
    """
    known = set(inspect.signature(cls).parameters)
    unknown = sorted(set(config) - known)
    if unknown:
        raise ModelError(f"{path}: {cls.__name__} does not know the key {unknown[0]!r}")
    try:
        with torch.device("meta"):
            return cls(**config)
    except (
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        raise ModelError(f"{path} does not describe a {cls.__name__}: {error}") from error


def load_weights(model: nn.Module, path: Path, device: str | torch.device) -> None:
    """Fill a meta model from a safetensors file, strictly; float types are cast to float32.

    Raises:
        ModelError: for a missing or truncated file, missing, surplus or wrong-shaped tensors, and
            values that are not finite, naming the file and the key; for a device that is not there.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing: a model folder needs {CONFIG} and {WEIGHTS}")
    try:
        with safe_open(path, framework="pt") as file:
            _check_keys(model, file, path)
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
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
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {str(device)!r} cannot be used: {error}") from error


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of a model's weights: their names and their values as float32, however stored."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _check_keys(model: nn.Module, file: Any, path: Path) -> None:
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
    found = {key: tuple(part.get_shape()) for key, part in slices.items()}
    for key in sorted(expected.keys() - found.keys()):
        raise ModelError(f"{path}: tensor {key!r} is missing")
    for key in sorted(found.keys() - expected.keys()):
        raise ModelError(f"{path}: tensor {key!r} does not belong to this model")
    for key, shape in expected.items():
        if found[key] != shape:
            raise ModelError(f"{path}: tensor {key!r} has shape {found[key]}, expected {shape}")
        if slices[key].get_dtype() not in DTYPES:
            raise ModelError(
                f"{path}: tensor {key!r} is {slices[key].get_dtype()}, expected one of {DTYPES}"
            )


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield an empty folder; its files replace those in `target` only when the block succeeds.

    A kill or a full disk in the middle leaves `target` as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()
        yield folder
        for file in folder.iterdir():
            sync(file)
        target.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.replace(target / file.name)


def sync(file: Path) -> None:
    """Make sure that a file has reached the disk before anything relies on it."""
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())
