"""The one schema of configs: what a model's constructor may be given, and a config may hold.

It is read off the constructor. `huggingface_hub.dataclasses.strict` checks every argument against
its annotation; beside it stands what strict does not look at: the range of every number (it accepts
NaN and 10**9), and what JSON can hold in few bytes. The same check runs when a model is constructed
and when its config is loaded, so that what can be saved can be loaded.
"""

import inspect
import json
import math
import reprlib
import types
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, make_dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from huggingface_hub.dataclasses import strict, validated_field
from huggingface_hub.errors import StrictDataclassFieldValidationError

ARGUMENT_BYTES = 60 * 1024  # of the arguments in `config.json`
LONGEST = 64  # entries of a list, keys of an object
DEEPEST = 8  # lists and objects inside each other
# Keys of a config beside the arguments, and a name that the hub's mixin gives a meaning of its own.
RECORDED = ("format_version", "hvae_sr_version", "model_class", "model_module")
RESERVED = {*RECORDED, "config"}


@dataclass(frozen=True)
class Range:
    """The values that a number may have, in an annotation: `Annotated[int, Range(1, 64)]`.

    Args:
        least, most: the smallest and the largest of them.
    """

    least: float
    most: float

    def check(self, number: float) -> None:
        """Refuse a number outside, NaN included.

        Raises:
            ValueError: naming the number and the range.
        """
        if not self.least <= number <= self.most:
            raise ValueError(f"must be from {self.least:g} to {self.most:g}, not {_shown(number)}")


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 60
NUMBERS = Range(0, 4096)  # of which nobody said more


def checked_arguments(
    cls: type, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The arguments of a constructor by name, defaults included, checked and copied.

    Args:
        cls: the class, whose `__init__` is annotated with bool, int, float, str, None, Literal,
            list, dict, their unions, and `Annotated[..., Range(...)]`. A number without a range is
            from 0 to 4096, an argument without an annotation anything that JSON can hold.

    Raises:
        TypeError: for arguments that the class does not have or misses, or of another type.
        ValueError: for numbers out of range or not finite, and what is too long, deep or large.
    """
    schema = _schema(cls)
    arguments = schema.bound(args, kwargs or {})
    check_structure(arguments, cls.__name__)
    for name, value in arguments.items():
        schema.argument(name).check(value, f"the argument {name!r} of {cls.__name__}")
    if len(json.dumps(arguments, indent=2)) > ARGUMENT_BYTES:
        raise ValueError(f"the arguments of {cls.__name__} take more than {ARGUMENT_BYTES:,} bytes")
    return deepcopy(arguments)


def check_structure(arguments: Mapping[str, Any], owner: str) -> None:
    """Refuse what no config may hold, whatever the class.

    Args:
        arguments: by name.
        owner: the class that they are of, for messages.

    Raises:
        TypeError: for what JSON cannot hold.
        ValueError: for too long or deep values, and numbers that are not finite.
    """
    if len({*arguments, *RECORDED}) > LONGEST:
        raise ValueError(f"{owner} has more than {LONGEST - len(RECORDED)} arguments")
    for name, value in arguments.items():
        subject = f"the argument {_shown(name)} of {owner}"
        _check_json(value, subject, depth=1)


def _check_json(value: Any, subject: str, depth: int) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{subject} must be finite, not {value}")
    if value is None or isinstance(value, bool | int | float | str):
        return
    if not isinstance(value, list | dict):
        kind = type(value).__name__
        raise TypeError(f"{subject} must be something JSON can hold, not {kind} {_shown(value)}")
    if depth > DEEPEST:
        raise ValueError(f"{subject} is nested more than {DEEPEST} deep")
    if len(value) > LONGEST:
        raise ValueError(f"{subject} has more than {LONGEST} entries")
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        raise TypeError(f"{subject} must have keys that are strings")
    for item in value.values() if isinstance(value, dict) else value:
        _check_json(item, subject, depth + 1)


class _Argument:
    """One argument of a constructor, as its annotation describes it."""

    def __init__(self, annotation: Any):
        self.annotation = annotation
        field = validated_field(lambda value: _check_ranges(value, annotation))
        record = make_dataclass("Argument", [("value", _for_strict(annotation), field)])
        self.record: Callable[[Any], object] = strict(record)

    def check(self, value: Any, subject: str) -> None:
        """Refuse a value of another type or out of range.

        Raises:
            TypeError, ValueError: with one sentence about the subject.
        """
        try:
            self.record(value)
        except StrictDataclassFieldValidationError as error:
            if isinstance(error.__cause__, ValueError):
                raise ValueError(f"{subject} {error.__cause__}") from error
            expected = _described(self.annotation)
            raise TypeError(f"{subject} must be {expected}, not {_shown(value)}") from error


@dataclass(frozen=True)
class _Schema:
    """What a class says of its constructor's arguments.

    Args:
        owner: name of the class.
        signature: of the constructor, without `self`.
        named: the arguments that have a name in it.
        others: what it takes besides by `**`, where it does.
        variadic: what it calls those.
    """

    owner: str
    signature: inspect.Signature
    named: dict[str, _Argument]
    others: _Argument | None = None
    variadic: str = ""

    def argument(self, name: str) -> _Argument:
        """What an argument is checked by.

        Raises:
            TypeError: when there is no such argument.
        """
        argument = self.named.get(name, self.others)
        if argument is None:
            raise TypeError(f"{self.owner} has no argument {_shown(name)}")
        return argument

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments by name, with defaults.

        Raises:
            TypeError: naming what is missing or unknown.
        """
        for name in kwargs:
            self.argument(name)
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.owner}: {error}") from error
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        return arguments | arguments.pop(self.variadic, {})


@cache
def _schema(cls: type) -> _Schema:
    """Read the schema off a class.

    Raises:
        TypeError: for a constructor that no config can describe.
    """
    owner, constructor = cls.__name__, cls.__init__  # type: ignore[misc]
    parameters = list(inspect.signature(constructor).parameters.values())[1:]
    try:
        hints = get_type_hints(constructor, include_extras=True)
    except NameError as error:
        raise TypeError(f"the annotations of {owner}'s constructor: {error}") from error
    named: dict[str, _Argument] = {}
    others, variadic = None, ""
    for parameter in parameters:
        name = parameter.name
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise TypeError(f"{owner} must take {name!r} by keyword: its config names arguments")
        if name in RESERVED:
            raise TypeError(f"{owner} must call its argument {name!r} something else")
        try:
            argument = _Argument(hints.get(name, Any))
        except TypeError as error:
            raise TypeError(f"the argument {name!r} of {owner}: {error}") from error
        if parameter.kind is parameter.VAR_KEYWORD:
            others, variadic = argument, name
        else:
            named[name] = argument
    return _Schema(owner, inspect.Signature(parameters), named, others, variadic)


def _check_ranges(value: Any, annotation: Any) -> None:
    """Every number of a value against the range that its annotation gives, or against `NUMBERS`."""
    annotation = _member(annotation, value)
    inner = get_args(annotation)
    if isinstance(value, int | float) and not isinstance(value, bool):
        _range(annotation).check(value)
    elif isinstance(value, list):
        for item in value:
            _check_ranges(item, inner[0] if inner else Any)
    elif isinstance(value, dict) and "model_class" not in value:  # a model checks its own arguments
        for item in value.values():
            _check_ranges(item, inner[1] if inner else Any)


def _member(annotation: Any, value: Any) -> Any:
    """The member of a union that a value belongs to; what is no union stays."""
    if not _is_union(annotation):
        return annotation
    fitting = [member for member in get_args(annotation) if _fits(value, member)]
    return fitting[0] if fitting else Any


def _fits(value: Any, annotation: Any) -> bool:
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    kind = get_origin(bare) or bare
    if kind is Literal:
        return value in get_args(bare)
    return isinstance(kind, type) and isinstance(value, (kind, int) if kind is float else kind)


def _range(annotation: Any) -> Range:
    if get_origin(annotation) is Literal:
        return Range(-math.inf, math.inf)  # its values are listed
    extras = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, Range)), NUMBERS)


def _for_strict(annotation: Any) -> Any:
    """An annotation as strict understands it: without `Annotated`, and with ints among the floats.

    Raises:
        TypeError: for what no value of JSON can be.
    """
    if annotation is float:
        return int | float
    if annotation in (Any, None, bool, int, str, list, dict, types.NoneType):
        return annotation
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _for_strict(inner[0])
    if origin is Literal:
        return annotation
    if _is_union(annotation):
        return Union[tuple(_for_strict(member) for member in inner)]  # noqa: UP007
    if origin in (list, dict):
        return origin[tuple(_for_strict(member) for member in inner)]
    raise TypeError(f"{_described(annotation)} is not a type of a config's values")


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _described(annotation: Any) -> str:
    """An annotation in words, without ranges."""
    if get_origin(annotation) is Annotated:
        return _described(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(repr, get_args(annotation)))
    if _is_union(annotation):
        return " or ".join(map(_described, get_args(annotation)))
    if get_origin(annotation) in (list, dict):
        inner = ", ".join(map(_described, get_args(annotation)))
        return f"{get_origin(annotation).__name__}[{inner}]"
    return "None" if annotation is types.NoneType else inspect.formatannotation(annotation)


def _shown(value: Any) -> str:
    """A value in a message, shortened."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no integers of more than 4,300 digits
        return "a number of thousands of digits"
