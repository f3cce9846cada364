"""Training checkpoints: a folder appears whole under its final name, or not at all."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from hvae_sr.atomic import sync
from hvae_sr.errors import TrainingError
from hvae_sr.storage.serialization import sha256

KEPT = 2
STATE = "state.json"
CHECKSUMS = "checksums.json"  # written last: a checkpoint that has it is complete
AVERAGE = "average.safetensors"
UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)


def save(
    accelerator: Accelerator, average: nn.Module, folder: Path, step: int, state: dict[str, Any]
) -> None:
    """Write `folder/step-NNNNNNNN` through accelerate, with the averaged model, and drop all but
    the newest two.

    Everything goes to a scratch folder first and is renamed when it is on the disk, so a kill or
    a full disk leaves the previous checkpoint usable.

    Raises:
        TrainingError: when the checkpoint cannot be written.
    """
    final = folder / f"step-{step:08d}"
    scratch = folder / f".step-{step:08d}"
    try:
        accelerator.save_state(str(scratch))
        if accelerator.is_main_process:
            save_model(average, str(scratch / AVERAGE))
            (scratch / STATE).write_text(json.dumps({**state, "step": step}, indent=2))
            (scratch / CHECKSUMS).write_text(json.dumps(_checksums(scratch), indent=2))
            for file in scratch.rglob("*"):
                if file.is_file():
                    sync(file)
            shutil.rmtree(final, ignore_errors=True)
            scratch.rename(final)
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        kept = newest(folder)
        where = f"{kept} is kept: free some space and --resume" if kept else "none was written yet"
        raise TrainingError(
            f"checkpoint {final} could not be written ({error}); {where}"
        ) from error
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        for old in _complete(folder)[:-KEPT]:
            shutil.rmtree(old)


def newest(folder: Path) -> Path | None:
    """The last complete checkpoint, or None."""
    found = _complete(folder)
    return found[-1] if found else None


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What was saved beside the weights of a checkpoint whose files are as they were written.

    Raises:
        TrainingError: for a damaged checkpoint, saying which file, and what to resume from.
    """
    try:
        written = json.loads((checkpoint / CHECKSUMS).read_text())
        found = _checksums(checkpoint)
        damaged = [
            name for name in sorted({*written, *found}) if written.get(name) != found.get(name)
        ]
        state = {} if damaged else json.loads((checkpoint / STATE).read_text())
    except (OSError, ValueError, AttributeError):
        damaged = [CHECKSUMS]
    if damaged:
        older = [path for path in _complete(checkpoint.parent) if path < checkpoint]
        remedy = f"delete it to resume from {older[-1].name}" if older else "start again"
        raise TrainingError(f"{checkpoint} is damaged ({damaged[0]} has changed): {remedy}")
    assert isinstance(state, dict)
    return state


def restore(accelerator: Accelerator, average: nn.Module, checkpoint: Path) -> None:
    """Load a checkpoint into what `accelerator` prepared and into the averaged model.

    Weights are safetensors. accelerate keeps the optimiser and the random states as pickles, and
    reads them with torch's `weights_only`, which refuses whatever could run code.

    Raises:
        TrainingError: when the checkpoint does not fit the run.
    """
    try:
        accelerator.load_state(str(checkpoint))
        load_model(average, checkpoint / AVERAGE)
    except (*UNREADABLE, SafetensorError) as error:
        raise TrainingError(
            f"{checkpoint} does not fit this run ({error}): resume with the preset and options it "
            "was started with, or choose another --out"
        ) from error


def _checksums(folder: Path) -> dict[str, str]:
    """What each file of a checkpoint hashes to, by its path in the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {
        file.relative_to(folder).as_posix(): sha256(file)
        for file in files
        if file.name != CHECKSUMS
    }


def _complete(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("step-*") if (path / CHECKSUMS).is_file())
