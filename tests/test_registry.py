"""Names of classes: what registers itself, what replaces what, and what is refused."""

from pathlib import Path

import pytest
import torch
from conftest import SMALL, TINY, Nearest

import hvae_sr
from hvae_sr.errors import ModelError
from hvae_sr.models import HVAE, GenerativeModel, SuperResolutionModel, registry
from hvae_sr.models.registry import MODELS, find
from hvae_sr.registry import Registry


def named(name: str, module: str, base: type = object) -> type:
    return type(name, (base,), {"__module__": module})


class TestRegistry:
    def test_the_same_module_and_name_is_a_newer_version(self):
        shelf: Registry[object] = Registry("thing", {})
        first, again = named("Box", "mine"), named("Box", "mine")
        shelf.add("Box", first)
        shelf.add("Box", again)
        assert shelf.get("Box") is again
        assert shelf.names == ["Box"]

    def test_another_of_the_same_name_is_refused_and_both_are_named(self):
        shelf: Registry[object] = Registry("thing", {"Lid": "package.lids"})
        shelf.add("Box", named("Box", "mine"))
        with pytest.raises(ValueError, match=r"two things .* mine\.Box and yours\.Box"):
            shelf.add("Box", named("Box", "yours"))
        with pytest.raises(ValueError, match=r"package\.lids and mine\.Lid"):
            shelf.add("Lid", named("Lid", "mine"))

    def test_unknown_names_are_no_keys(self):
        with pytest.raises(KeyError):
            Registry("thing", {}).get("Box")


class TestModels:
    def test_classes_register_by_subclassing(self):
        assert find("Nearest", "conftest") is Nearest
        assert find("HVAE", "hvae_sr.models.hvae") is HVAE

    def test_a_class_of_ones_own_may_not_take_a_name_of_the_package(self):
        with pytest.raises(ValueError, match=r"hvae_sr\.models\.edsr.* and mine\.EDSR"):
            named("EDSR", "mine", SuperResolutionModel)

    def test_a_module_that_is_not_imported_is_named_and_not_imported(self):
        with pytest.raises(ValueError, match=r"'antigravity'.*import the module that defines it"):
            find("Levitator", "antigravity")
        with pytest.raises(ValueError, match=r"'mine'.*import the module that defines it first"):
            find("Nearest", "mine")

    def test_what_a_notebook_defined_is_known_by_its_name(self, monkeypatch: pytest.MonkeyPatch):
        assert find("Nearest", "__main__") is Nearest
        monkeypatch.setattr(Nearest, "__module__", "__main__")
        assert find("Nearest", "conftest") is Nearest

    def test_every_name_of_the_package_leads_to_its_class(self):
        for name, module in registry.MODULES.items():
            found = MODELS.get(name)
            assert (found.__name__, found.__module__) == (name, module)
            assert issubclass(found, SuperResolutionModel)

    def test_small_versions_for_the_contract_tests_are_of_classes_that_exist(self):
        assert SMALL.keys() <= registry.MODULES.keys() == TINY.keys()

    def test_facts_that_other_rooms_ask_for(self):
        model = Nearest(2)
        assert (model.scale, model.is_stochastic, model.is_conditional) == (2, False, True)
        assert (model.size_multiple, model.receptive_field) == (1, 0)
        assert model.degradation is not None and model.degradation.name == "area"
        with torch.device("meta"):
            assert HVAE().is_stochastic


class TestListOfModels:
    def test_filters(self):
        names = hvae_sr.list_models()
        assert names == list(hvae_sr.bundled())
        loaded = {name: hvae_sr.load(name) for name in names}
        for scale in (1, 2, 3, 4):
            of_scale = [name for name, model in loaded.items() if model.scale == scale]
            assert hvae_sr.list_models(scale=scale) == of_scale
        assert hvae_sr.list_models(model_class=GenerativeModel) == [
            name for name, model in loaded.items() if model.is_stochastic
        ]
        assert hvae_sr.list_models(scale=4, degradation="bicubic", model_class=HVAE) == [
            "photo-hvae-x4"
        ]
        assert hvae_sr.list_models(scale=7) == []

    def test_a_damaged_shelf_is_an_error_that_names_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("hvae_sr.storage.shelf._SHELVES", (tmp_path,))
        Nearest(3).save_pretrained(tmp_path / "mine")
        assert hvae_sr.list_models(scale=3, degradation="area", model_class=Nearest) == ["mine"]
        assert hvae_sr.list_models(model_class=HVAE) == []
        config = (tmp_path / "mine" / "config.json").read_text()
        (tmp_path / "mine" / "config.json").write_text(config.replace("Nearest", "Farthest"))
        with pytest.raises(ModelError, match=r"config\.json: key 'model_class'.*Farthest"):
            hvae_sr.list_models(model_class=HVAE)
        (tmp_path / "mine" / "config.json").write_text("{")
        with pytest.raises(ModelError, match=r"config\.json"):
            hvae_sr.list_models()


class TestRegisterModel:
    def test_a_base_is_no_model_until_it_is_registered(self):
        class Base(SuperResolutionModel, registered=False):
            pass

        with pytest.raises(ValueError, match="not registered"):
            find("Base", __name__)
        assert hvae_sr.register_model(Base) is Base
        assert find("Base", __name__) is Base

    def test_what_is_not_a_model_is_refused(self):
        for thing in (torch.nn.Conv2d, "HVAE", Nearest(2)):
            with pytest.raises(TypeError, match="is not a subclass of"):
                hvae_sr.register_model(thing)  # type: ignore[type-var]

    def test_a_name_that_is_taken_is_refused(self):
        class HVAE(SuperResolutionModel, registered=False):
            pass

        with pytest.raises(ValueError, match="two models are called 'HVAE'"):
            hvae_sr.register_model(HVAE)


def test_deterministic_models_have_nothing_to_sample():
    with pytest.raises(ModelError, match=r"a Nearest .* has no p\(x\)"):
        Nearest(2).sample(4, seed=0)
