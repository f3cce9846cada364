"""One schema of configs: what is refused when a model is constructed and when it is loaded."""

import copy
import inspect
import json
import math
import pickle
import random
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import torch
from conftest import TINY, Nearest, same_weights, tiny_hvae
from torch import Tensor

import hvae_sr
from hvae_sr.errors import ModelError
from hvae_sr.models import HVAE, construction
from hvae_sr.models.base import SuperResolutionModel
from hvae_sr.models.registry import MODELS
from hvae_sr.storage.schema import RECORDED, Range, checked_arguments
from hvae_sr.storage.serialization import CONFIG, written_config

INF, NAN = math.inf, math.nan
NAN_IN_JSON = "NaN"  # as Python writes it, and JSON does not
DEEP: list[Any] = []
for _ in range(9):
    DEEP = [DEEP]
ODD = [True, 1.5, NAN, INF, -1, 10**9, DEEP]
WRONG: dict[str, list[Any]] = {
    "int": [*ODD, "4", None, [4], {"a": 4}, 4097, 10**400, 1e300],
    "float": [True, NAN, INF, -INF, -1.0, 10**9, 1e300, DEEP, "0.1", None, [0.1]],
    "bool": [1, 0.0, "yes", None, [True], DEEP],
    "str": [*ODD, None, ["lr"], {"lr": 1}],
    "list": [*ODD, 8, "88", None, {"0": 8}, ["8", "8"], [True], [1.5], [[8]], [None], [8, 10**9],
             [-1], [NAN], [8, INF], [8] * 65],
    "dict": [*ODD, 3, "HVAE", None, ["lr"], {str(n): n for n in range(65)}, {"a": NAN},
             {"a": DEEP}],
}  # fmt: skip
WRONG["NoneType"] = [value for wrong in WRONG.values() for value in wrong if value is not None]


def kinds_of(annotation: Any) -> list[str]:
    """Names of the types that an annotation allows."""
    if get_origin(annotation) is Annotated:
        return kinds_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for member in get_args(annotation) for kind in kinds_of(member)]
    return [(get_origin(annotation) or annotation).__name__]


def wrong_values(annotation: Any) -> list[Any]:
    """What an argument may not be, whichever of its types one takes it for."""
    kinds = [WRONG[kind] for kind in kinds_of(annotation)]
    return [
        value
        for value in kinds[0]
        if all(json.dumps(value) in map(json.dumps, wrong) for wrong in kinds[1:])
    ]


ARGUMENTS = [
    (name, argument) for name in TINY for argument in inspect.signature(MODELS.get(name)).parameters
]


def sentence(error: BaseException) -> str:
    message = str(error)
    assert 10 < len(message) < 400 and "\n" not in message
    return message


def said_when_constructed(cls: type, arguments: dict[str, Any]) -> str:
    with pytest.raises((TypeError, ValueError)) as refused:
        cls(**arguments)
    return sentence(refused.value)


def said_when_loaded(folder: Path, config: dict[str, Any]) -> str:
    text = json.dumps(config).replace("Infinity", "1e999")  # which JSON can say
    (folder / CONFIG).write_text(text)
    with pytest.raises(ModelError) as refused:
        hvae_sr.load(folder)
    return sentence(refused.value)


class TestWrongConfigs:
    def test_there_are_many_of_every_class(self):
        assert {name for name, _ in ARGUMENTS} == set(TINY)
        assert len(ARGUMENTS) * min(map(len, WRONG.values())) > 60

    @pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
    def test_one_sentence_when_constructed_and_the_same_when_loaded(
        self, name: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        cls = MODELS.get(name)
        with torch.device("meta"):
            config = written_config(TINY[name]().full_config)
        monkeypatch.setattr(construction, "bounded", pytest.fail)  # nothing is built
        for value in wrong_values(inspect.signature(cls).parameters[argument].annotation):
            arguments = {key: config[key] for key in config.keys() - RECORDED}
            said = said_when_constructed(cls, {**arguments, argument: value})
            assert f"the argument {argument!r} of {name}" in said
            loaded = said_when_loaded(tmp_path, {**config, argument: value})
            if NAN_IN_JSON in json.dumps(value):
                assert NAN_IN_JSON in loaded and CONFIG in loaded
            else:
                assert loaded == f"{tmp_path / CONFIG}: {said}"

    @pytest.mark.parametrize("name", TINY)
    def test_arguments_that_a_class_does_not_have(self, name: str, tmp_path: Path):
        config = written_config({**MODELS.get(name)().full_config, "sharpness": 3})
        said = said_when_constructed(MODELS.get(name), {"sharpness": 3})
        assert said == f"{name} has no argument 'sharpness'"
        assert said_when_loaded(tmp_path, config) == f"{tmp_path / CONFIG}: {said}"

    def test_a_model_inside_a_model_is_checked_like_any_other(self, tmp_path: Path):
        inner = {**tiny_hvae(scale=1, start="constant").full_config, "latent": 10**9}
        said = said_when_constructed(HVAE, {"lr_prior": inner})
        assert said == (
            "the argument 'lr_prior': the argument 'latent' of HVAE must be from 1 to 4096, "
            "not 1000000000"
        )
        config = written_config({**tiny_hvae().full_config, "lr_prior": inner})
        assert said_when_loaded(tmp_path, config) == f"{tmp_path / CONFIG}: {said}"

    def test_what_json_cannot_hold(self):
        for value in ((8, 8), {8}, b"8", torch.zeros(1), Nearest):
            assert "JSON" in said_when_constructed(HVAE, {"widths": value})
        assert "strings" in said_when_constructed(HVAE, {"lr_prior": {1: 2}})

    def test_values_that_contain_themselves(self):
        endless: list[Any] = []
        endless.append(endless)
        assert "deep" in said_when_constructed(HVAE, {"widths": endless})

    def test_more_than_a_file_may_hold(self):
        assert "bytes" in said_when_constructed(HVAE, {"cell": "x" * 100_000})

    def test_numbers_of_thousands_of_digits(self):
        assert "digits" in said_when_constructed(HVAE, {"latent": 10**5_000})

    def test_many_numbers_in_range_that_are_too_many_together(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        with torch.device("meta"):
            wide = {"widths": [4096] * 3, "groups": [64] * 3, "blocks": [64] * 3, "cell": "plain"}
            assert "parameters" in said_when_constructed(HVAE, wide)
            monkeypatch.setattr(construction, "MOST_OPERATIONS", 1_000)
            assert "operations" in said_when_constructed(HVAE, {})
        assert torch.is_grad_enabled()


class Scaled(SuperResolutionModel):
    """A class of a user's own."""

    def __init__(
        self,
        scale: int = 2,
        gain: Annotated[float, Range(-2, 2)] = 1,
        gains: list[Annotated[float, Range(-2, 2)]] = [],  # noqa: B006
        mode: Literal["soft", "hard"] = "soft",
        steps: Literal[1, 2] | None = None,
        anything=None,
        **others: int,
    ):
        super().__init__(scale, "area")
        gains.append(9)  # may not reach the config, nor the default
        self.others = others
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, lr: Tensor) -> Tensor:
        return lr.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


class TestClassesOfOnesOwn:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"gain": -2.5}, "'gain' of Scaled must be from -2 to 2, not -2.5"),
            ({"gain": "1"}, "'gain' of Scaled must be float, not '1'"),
            ({"gains": [0, 3]}, "'gains' of Scaled must be from -2 to 2, not 3"),
            ({"gains": [True]}, "'gains' of Scaled must be list[float], not [True]"),
            ({"mode": "loud"}, "'mode' of Scaled must be one of 'soft', 'hard', not 'loud'"),
            ({"steps": 3}, "'steps' of Scaled must be one of 1, 2 or None, not 3"),
            ({"steps": True}, "'steps' of Scaled must be one of 1, 2 or None, not True"),
            ({"anything": 10**9}, "'anything' of Scaled must be from 0 to 4096"),
            ({"anything": {"a": [NAN]}}, "'anything' of Scaled must be finite"),
            ({"more": "many"}, "'more' of Scaled must be int, not 'many'"),
            ({"more": -1}, "'more' of Scaled must be from 0 to 4096, not -1"),
            ({"others": 1.5}, "'others' of Scaled must be int, not 1.5"),
        ],
        ids=str,
    )
    def test_are_checked_the_same(self, arguments: dict[str, Any], words: str, tmp_path: Path):
        said = said_when_constructed(Scaled, arguments)
        assert words in said
        config = written_config({**Scaled().full_config, **arguments})
        if NAN_IN_JSON not in json.dumps(arguments):
            assert said_when_loaded(tmp_path, config) == f"{tmp_path / CONFIG}: {said}"

    def test_what_is_in_range_is_saved_and_loaded(self, tmp_path: Path):
        arguments = {
            "gain": -2,
            "gains": [-0.5, 2],
            "mode": "hard",
            "steps": 2,
            "anything": {"a": [1, None, "b"]},
            "more": 3,
        }
        model = Scaled(3, **arguments)
        assert model.others == {"more": 3}
        assert model.config == {"scale": 3, **arguments}
        model.save_pretrained(tmp_path)
        assert hvae_sr.load(tmp_path).config == model.config

    def test_no_list_is_shared(self):
        mine = [0.5]
        model = Scaled(gains=mine)
        assert mine == model.config["gains"] == [0.5]
        model.config["gains"].append(1)
        assert model.config["gains"] == [0.5]
        assert Scaled().config["gains"] == Scaled().config["gains"] == []

    def test_copies_and_pickles_have_the_same_config(self):
        model = Scaled(gain=2)
        for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert again.config == model.config and same_weights(again, model)

    def test_constructors_that_no_config_can_describe(self):
        class Positional(SuperResolutionModel):
            def __init__(self, scale: int = 2, /):
                super().__init__(scale, "area")

        class Starred(SuperResolutionModel):
            def __init__(self, *scales: int):
                super().__init__(2, "area")

        class Taken(SuperResolutionModel):
            def __init__(self, model_class: str = "", config: int = 1):
                super().__init__(2, "area")

        class Odd(SuperResolutionModel):
            def __init__(self, weight: Tensor | None = None):
                super().__init__(2, "area")

        for cls, words in {
            Positional: "'scale' by keyword",
            Starred: "'scales' by keyword",
            Taken: "'model_class' something else",
            Odd: "'weight' of Odd: torch.Tensor is not",
        }.items():
            assert words in said_when_constructed(cls, {})

    def test_missing_arguments_are_named(self):
        class Needy(SuperResolutionModel):
            def __init__(self, scale: int):
                super().__init__(scale, "area")

        assert said_when_constructed(Needy, {}) == "Needy: missing a required argument: 'scale'"
        assert Needy(2).config == {"scale": 2}

    def test_editors_see_the_constructor(self):
        assert list(inspect.signature(Scaled).parameters)[:2] == ["scale", "gain"]
        assert "self" not in inspect.signature(HVAE).parameters


def plausible(argument: str, value: Any, draw: random.Random) -> Any:
    """Another value for an argument, of the same kind, small enough to be built and saved."""
    if argument == "scale":
        return draw.choice([1, 2, 3, 4])
    if isinstance(value, bool):
        return draw.random() < 0.5
    if isinstance(value, int):
        return draw.choice([0, 1, 2, 3, 5, 9])
    if isinstance(value, float):
        return draw.choice([0, 1, 0.25, 1e-6, 4096.0])
    if isinstance(value, list):
        length = draw.choice([len(value), len(value), draw.randint(0, 3)])
        return [draw.choice([0, 1, 2, 3, 8]) for _ in range(length)]
    if isinstance(value, str):
        return draw.choice(
            [value, "lr", "constant", "plain", "standard", "gaussian", "area", "relu"]
        )
    return value


class TestEveryConfigThatConstructsIsSavedAndLoaded:
    @pytest.mark.parametrize("name", TINY)
    def test_random_configs(self, name: str, tmp_path: Path):
        draw = random.Random(name)
        start = TINY[name]().config
        built = 0
        for index in range(30):
            changed = draw.sample(sorted(start), draw.randint(1, 3))
            arguments = {**start, **{key: plausible(key, start[key], draw) for key in changed}}
            try:
                model = MODELS.get(name)(**arguments)
            except (TypeError, ValueError) as error:
                sentence(error)
                continue
            built += 1
            model.save_pretrained(tmp_path / str(index))
            loaded = hvae_sr.load(tmp_path / str(index))
            assert loaded.config == model.config == arguments
            assert same_weights(loaded, model)
        assert built >= 3

    @pytest.mark.parametrize("depth", range(1, 10))
    def test_whatever_their_depth(self, depth: int, tmp_path: Path):
        value: Any = 1
        for _ in range(depth):
            value = [value]
        try:
            model = Scaled(anything=value)
        except ValueError as error:
            assert depth > 8 and "deep" in sentence(error)
            return
        model.save_pretrained(tmp_path)
        assert hvae_sr.load(tmp_path).config["anything"] == value

    @pytest.mark.parametrize("size", [59_000, 61_000, 63_500, 65_000])
    def test_whatever_their_size(self, size: int, tmp_path: Path):
        try:
            model = Scaled(anything="x" * size)
        except ValueError as error:
            assert size > 60 * 1024 - 200 and "bytes" in sentence(error)
            return
        model.save_pretrained(tmp_path)
        assert len(hvae_sr.load(tmp_path).config["anything"]) == size

    @pytest.mark.parametrize("count", [50, 55, 60, 61, 70])
    def test_however_many_they_are(self, count: int, tmp_path: Path):
        try:
            model = Scaled(**{f"other{n}": n for n in range(count)})
        except ValueError as error:
            assert "arguments" in sentence(error)
            return
        model.save_pretrained(tmp_path)
        assert hvae_sr.load(tmp_path).config == model.config


def test_the_whole_range_of_a_number_counts():
    class Plain:
        def __init__(self, count: int = 0, share: float = 0.0):
            pass

    assert checked_arguments(Plain, (4096,), {"share": 4096.0}) == {"count": 4096, "share": 4096.0}
    assert checked_arguments(Plain) == {"count": 0, "share": 0.0}
    for wrong in (-1, 4097):
        with pytest.raises(ValueError, match="'count' of Plain must be from 0 to 4096"):
            checked_arguments(Plain, (wrong,))
