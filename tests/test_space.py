"""A Space: written whole, pinned, and running from its own folder alone."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from conftest import free_port
from gradio_client import Client, handle_file
from huggingface_hub import RepoCard
from PIL import Image

from hvae_sr import bundled
from hvae_sr.demo.space import write_space
from hvae_sr.errors import HvaeSrError

MODEL = "photo-cnn-x2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("spaces") / "mine"
    write_space(target, [MODEL])
    return target


@pytest.fixture
def address(folder: Path, tmp_path: Path) -> Iterator[str]:
    """The Space as its host starts it: in its folder, told by its environment where to listen."""
    port = str(free_port())
    hidden = ("PYTHONPATH", "GRADIO_TEMP_DIR")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": port}
    command = [sys.executable, "-u", "app.py"]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        said = next(line for line in server.stdout if "Running on" in line)
        yield said.split()[-1]
        server.terminate()


def test_it_runs_alone(address: str, folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (9, 99, 200)).save(tmp_path / "in.png")
    client = Client(address, verbose=False, analytics_enabled=False, download_files=tmp_path)
    *_, answer = client.predict(handle_file(tmp_path / "in.png"), api_name="/upscale")
    assert Image.open(answer).size == (16, 16)  # by the only model that was taken along
    assert sorted(path.name for path in (folder / "model_cards").iterdir()) == [MODEL]


def test_it_imports_its_own_copy(folder: Path) -> None:
    code = "import hvae_sr; print(hvae_sr.__file__, *hvae_sr.bundled())"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    found = subprocess.check_output(
        [sys.executable, "-c", code], cwd=folder, env=environment, text=True
    )
    assert found.split() == [str(folder / "hvae_sr" / "__init__.py"), MODEL]


def test_front_matter_and_pins(folder: Path) -> None:
    data = RepoCard.load(folder / "README.md", repo_type="space").data.to_dict()
    assert data["sdk"] == "gradio" and data["sdk_version"] == metadata.version("gradio")
    assert data["app_file"] == "app.py" and data["pinned"] is False
    assert len(data["short_description"]) <= 60  # what a Space shows
    pins = (folder / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert f"torch=={metadata.version('torch').partition('+')[0]}" in pins
    assert not any(pin.startswith("gradio==") for pin in pins)


def test_an_earlier_space_is_replaced_and_its_repository_kept(folder: Path) -> None:
    (folder / ".git").mkdir(exist_ok=True)
    (folder / ".git" / "HEAD").write_text("ref")
    (folder / "hvae_sr" / "stale.py").touch()
    write_space(folder, [MODEL])
    assert not (folder / "hvae_sr" / "stale.py").exists()
    assert (folder / ".git" / "HEAD").read_text() == "ref"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_other_folders_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(HvaeSrError, match="holds something else"):
        write_space(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(HvaeSrError, match=f"choose from {', '.join(bundled())}"):
        write_space(tmp_path / "new", ["other"])
    assert not (tmp_path / "new").exists()


def test_a_failure_leaves_the_earlier_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "README.md").read_text()

    def fail() -> str:
        raise OSError("disk full")

    monkeypatch.setattr("hvae_sr.demo.space.requirements", fail)
    with pytest.raises(OSError, match="disk full"):
        write_space(folder, [MODEL])
    assert (folder / "README.md").read_text() == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
