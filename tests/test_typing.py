"""The public API is typed: mypy --strict and basedpyright pass on the README's own lines."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hvae_sr

ROOT = Path(__file__).parent.parent
PACKAGE = Path(hvae_sr.__file__).parent
BLOCKS = re.findall(r"```py(?:thon)?\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
# The README's client of the demo is gradio's, which has no types: nothing of it can be checked.
UNTYPED = (
    "# pyright: reportMissingTypeStubs=false, reportAny=false, reportUnknownMemberType=false\n"
)
GOOD = """\
from typing import assert_type

import hvae_sr
from PIL import Image
from torch import Tensor, nn


@hvae_sr.register_model
class Nearest(hvae_sr.SuperResolutionModel):
    def __init__(self, scale: int = 2, width: int = 8) -> None:
        super().__init__(scale, "area")
        self.layer: nn.Module = nn.Conv2d(3, width, 3)


model = hvae_sr.load("photo-hvae-x4")
loaded = assert_type(model, hvae_sr.SuperResolutionModel)
image = assert_type(model.upscale(Image.new("RGB", (8, 8))), Image.Image)
images = assert_type(model.upscale(Image.new("RGB", (8, 8)), num_samples=2), list[Image.Image])
samples = assert_type(model.sample(2, seed=0), Tensor)
pretrained = assert_type(hvae_sr.HVAE.from_pretrained("folder"), hvae_sr.HVAE)
constructed = assert_type(hvae_sr.HVAE(scale=4, widths=[8, 8]), hvae_sr.HVAE)
own = assert_type(Nearest(2, width=3), Nearest)
names = assert_type(hvae_sr.list_models(scale=4, model_class=hvae_sr.GenerativeModel), list[str])
"""
WRONG = {  # each one line, wrong in one way
    "misspelt": "hvae_sr.laod",
    "misspelt_class": "hvae_sr.models.HVEA",
    "argument_type": "hvae_sr.HVAE(scale='4')",
    "argument_name": "hvae_sr.HVAE(widht=[3])",
    "filter": "hvae_sr.list_models(scales=3)",
    "image": "hvae_sr.load('photo-cnn-x4').upscale('in.png')",
    "option": "hvae_sr.UpscaleOptions(num_samples='2')",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with one file for each block of the README and each case above."""
    folder = tmp_path_factory.mktemp("project")
    for number, block in enumerate(BLOCKS):
        head = UNTYPED if "gradio_client" in block else ""
        (folder / f"readme{number}.py").write_text(head + block)
    (folder / "good.py").write_text(GOOD)
    for name, line in WRONG.items():
        (folder / f"{name}.py").write_text(f"import hvae_sr\nimport hvae_sr.models\n\n_ = {line}\n")
    return folder


def names(found: list[str]) -> set[str]:
    return {Path(name).stem for name in found}


@pytest.fixture(scope="module")
def by_mypy(project: Path) -> set[str]:
    """The files that `mypy --strict` finds errors in."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: pip install -e '.[dev]'")
    settings = project / "mypy.ini"
    settings.write_text("[mypy]\n\n[mypy-gradio_client.*]\nignore_missing_imports = True\n")
    environment = dict(os.environ)
    if "site-packages" not in PACKAGE.parts:  # else mypy finds it, and wants no path to it
        environment["MYPYPATH"] = str(PACKAGE.parent)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file"]
    files = sorted(path.name for path in project.glob("*.py"))
    done = subprocess.run(
        [*command, str(settings), *files],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    print(done.stdout)
    return names(re.findall(r"^(\S+\.py):\d+: error:", done.stdout, re.M))


@pytest.fixture(scope="module")
def by_basedpyright(project: Path) -> set[str]:
    """The files that basedpyright, as it comes, finds errors or warnings in."""
    if importlib.util.find_spec("basedpyright") is None:
        pytest.skip("basedpyright is not installed: pip install -e '.[dev]'")
    settings = project / "pyrightconfig.json"
    settings.write_text(json.dumps({"extraPaths": [str(PACKAGE.parent)], "include": ["."]}))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath"]
    command = [*command, sys.executable, "-p", str(settings)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        pytest.skip(f"basedpyright cannot run here: {(done.stderr or done.stdout)[-300:]}")
    assert found["summary"]["filesAnalyzed"] == len(list(project.glob("*.py")))
    print(done.stdout)
    return names([problem["file"] for problem in found["generalDiagnostics"]])


def expected_to_fail(found: set[str]) -> None:
    assert found & {"good", *(f"readme{n}" for n in range(len(BLOCKS)))} == set()
    assert found == set(WRONG)


def test_the_readme_has_blocks():
    assert any("hvae_sr.load" in block for block in BLOCKS)


def test_mypy_accepts_the_readme_and_finds_mistakes(by_mypy: set[str]):
    expected_to_fail(by_mypy)


def test_basedpyright_accepts_the_readme_and_finds_mistakes(by_basedpyright: set[str]):
    expected_to_fail(by_basedpyright)


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()


def test_completion_offers_every_public_name():
    for package in (hvae_sr, hvae_sr.models):
        assert set(package.__all__) <= set(dir(package))
        assert all(getattr(package, name) is not None for name in package.__all__)
    assert "laod" not in dir(hvae_sr)
    with pytest.raises(AttributeError, match="'laod'"):
        getattr(hvae_sr, "laod")  # noqa: B009
