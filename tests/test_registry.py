"""Names of classes: what registers itself, what replaces what, and what is refused."""

import pytest
import torch
from conftest import SMALL, TINY, Nearest

from hvae_sr.models import HVAE, SuperResolutionModel, registry
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
