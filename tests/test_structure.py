"""How the package is built: what a room may import, and what importing it costs."""

import subprocess
import sys

import pytest

HEAVY = ("PIL", "av", "gradio", "huggingface_hub", "accelerate", "skimage")


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
    assert not found & set(HEAVY)


def test_a_degradation_is_found_by_name_without_reading_images():
    statement = "from hvae_sr.degradations import get_degradation; get_degradation('blind', 4)"
    assert not imported_by(statement) & set(HEAVY)


def test_the_front_of_the_package_does_not_import_torch():
    assert "torch" not in imported_by("import hvae_sr")
