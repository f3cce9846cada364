"""`python -m benchmarks release`: what is published of a trained model."""

import json
from pathlib import Path

import torch
from conftest import shaken, tiny_cnn, tiny_hvae, tiny_lr_prior
from safetensors import safe_open
from test_scores import FACTS

from benchmarks import __main__ as benchmarks
from hvae_sr.hub import load
from hvae_sr.models.base import SuperResolutionModel


def trained(folder: Path, model: SuperResolutionModel, **facts: object) -> Path:
    model.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(FACTS | facts))
    return folder


def release(*arguments: object) -> int:
    return benchmarks.main(["release", *map(str, arguments)])


def test_a_release_is_of_16_bits_with_its_facts_and_its_prior(tmp_path):
    source = trained(tmp_path / "run", shaken(tiny_hvae()))
    prior = trained(tmp_path / "prior", shaken(tiny_lr_prior()), steps=3)
    assert release(source, tmp_path / "mine", "--prior", prior) == 0
    with safe_open(tmp_path / "mine" / "model.safetensors", "pt") as file:
        dtypes = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert dtypes == {torch.float16}
    facts = json.loads((tmp_path / "mine" / "training.json").read_text())
    assert facts == FACTS | {"lr_prior": FACTS | {"steps": 3}}
    model = load(tmp_path / "mine")
    assert model.sample(1, size=(16, 16)).shape == (1, 3, 16, 16)


def test_what_cannot_be_released_is_one_sentence(tmp_path, capsys):
    cnn = trained(tmp_path / "cnn", tiny_cnn())
    prior = trained(tmp_path / "prior", tiny_lr_prior())
    assert release(cnn, tmp_path / "mine", "--prior", prior) == 1
    assert capsys.readouterr().err == "release: only generative models take a p(y)\n"
    (cnn / "training.json").unlink()
    assert release(cnn, tmp_path / "mine") == 1
    assert "training.json is missing" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_does_not_exist_is_named(tmp_path, capsys):
    assert release(tmp_path / "absent", tmp_path / "mine") == 1
    assert "absent" in capsys.readouterr().err
