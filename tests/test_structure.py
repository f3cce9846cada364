"""How the package is built: what a room may import, and what importing it costs."""

import subprocess
import sys

import pytest

from hvae_sr.models.registry import MODULES

IMAGES = {"PIL", "av", "gradio"}
HEAVY = IMAGES | {"huggingface_hub", "accelerate", "skimage", "torchvision"}


def imported_by(statement: str) -> set[str]:
    """The top-level names in `sys.modules` after a statement, in a fresh interpreter."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    ["latents", "layers", "distributions", "noise", "resize", "windows", "discriminator"],
)
def test_nn_needs_torch_alone(module: str):
    found = imported_by(f"import hvae_sr.nn.{module}")
    assert "torch" in found
    assert not found & HEAVY


def test_a_degradation_is_found_by_name_without_reading_images():
    statement = "from hvae_sr.degradations import get_degradation; get_degradation('blind', 4)"
    assert not imported_by(statement) & HEAVY


@pytest.mark.parametrize("module", ["base", "latent", "registry", *sorted(MODULES)])
def test_models_are_built_without_reading_images(module: str):
    home = MODULES.get(module, f"hvae_sr.models.{module}")
    assert not imported_by(f"import {home}") & (HEAVY - {"huggingface_hub"})


def test_a_model_is_imported_when_its_name_is_asked_for():
    code = "from hvae_sr.models.registry import find; import sys; {}; print(*sorted(sys.modules))"
    found = []
    for statement in ("pass", "find('EDSR', None)"):
        command = [sys.executable, "-c", code.format(statement)]
        found.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert "hvae_sr.models.edsr" not in found[0] and "hvae_sr.models.edsr" in found[1]
    assert "hvae_sr.models.biva" not in found[1]


def test_the_front_of_the_package_does_not_import_torch():
    assert "torch" not in imported_by("import hvae_sr")
