"""The README and the cards keep their word: snippets run as written, commands and files exist."""

import re
from pathlib import Path

import pytest
from PIL import Image

import hvae_sr
from hvae_sr.training.recipes import PRESETS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {"README": README} | {
    name: (folder / "README.md").read_text() for name, folder in hvae_sr.bundled().items()
}


@pytest.mark.parametrize("page", PAGES)
def test_snippets_run_as_written(page, tmp_path, monkeypatch):
    Image.effect_noise((8, 6), 60).convert("RGB").save(tmp_path / "in.png")
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGES[page], re.S)
    names: dict = {}
    exec(snippet, names)
    larger = (8 * names["model"].scale, 6 * names["model"].scale)
    assert names["image"].size == larger
    if "several" in names:
        assert [image.size for image in names["several"]] == [larger] * 8


def test_local_links_lead_somewhere():
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_presets_named_in_the_readme_exist():
    table = README.split("| preset |", 1)[1].split("\n\n", 1)[0]
    rows = re.findall(r"^\| (`[^|]*`) \|", table, re.M)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == set(PRESETS)


def test_every_complaint_is_answered_by_a_test_that_exists():
    page = (ROOT / "docs" / "complaints.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    there = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert len(named) > 20
    assert sorted(name for name in named if f"def {name}(" not in there) == []
