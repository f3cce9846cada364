"""The README's figures: any two models of one scale, side by side."""

import numpy as np
import pytest
from conftest import shaken, tiny_cnn, tiny_hvae
from PIL import Image

from benchmarks import __main__ as benchmarks
from benchmarks import showcase
from hvae_sr.errors import ModelError


def test_a_showcase_of_photographs_draws_any_two_models(tmp_path):
    tiny_cnn(degradation="bicubic").save_pretrained(tmp_path / "cnn")
    shaken(tiny_hvae(degradation="bicubic"), 0.02).save_pretrained(tmp_path / "hvae")
    models = {"cnn": str(tmp_path / "cnn"), "hvae": str(tmp_path / "hvae")}
    sheet = np.asarray(showcase.photographs(**models))
    side = showcase.CROP
    step = side + showcase.GAP
    panels = [
        sheet[showcase.LINE : showcase.LINE + side, left : left + side].astype(float)
        for left in range(0, sheet.shape[1], step)
    ]
    assert len(panels) == 8
    deviation, original = panels[6:]
    assert all(panel.std() > 10 for panel in [*panels[:6], original])
    assert np.abs(panels[1] - original).mean() < np.abs(panels[0] - original).mean()
    assert np.abs(panels[4] - panels[5]).max() > 0  # two samples differ
    assert np.ptp(deviation, axis=-1).max() == 0


def test_a_showcase_refuses_models_that_do_not_belong_together(tmp_path):
    tiny_cnn(2, degradation="bicubic").save_pretrained(tmp_path / "cnn")
    shaken(tiny_hvae(degradation="bicubic"), 0.02).save_pretrained(tmp_path / "hvae")
    cnn, hvae = str(tmp_path / "cnn"), str(tmp_path / "hvae")
    with pytest.raises(ModelError, match="same scale"):
        showcase.photographs(cnn=cnn, hvae=hvae)
    with pytest.raises(ModelError, match="one answer only"):
        showcase.photographs(cnn=cnn, hvae=cnn)


def test_the_command_writes_what_it_is_asked_for(tmp_path, capsys):
    tiny_cnn(degradation="bicubic").save_pretrained(tmp_path / "cnn")
    tiny_hvae(degradation="bicubic").save_pretrained(tmp_path / "hvae")
    models = ["--cnn", str(tmp_path / "cnn"), "--hvae", str(tmp_path / "hvae")]
    figure = ["showcase", str(tmp_path / "figure.png"), *models]
    assert benchmarks.main([*figure, "--of", "photographs"]) == 0
    assert Image.open(tmp_path / "figure.png").width > 8 * showcase.CROP
    with pytest.raises(SystemExit):
        benchmarks.main([*figure, "--of", "films"])
    assert "thumbnails" in capsys.readouterr().err
