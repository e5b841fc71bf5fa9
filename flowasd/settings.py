"""The keys of a config: each one has its type, default, bounds, unit and meaning in one place.

Every room declares its settings as a frozen dataclass whose fields are made by `key`.
`flowasd.config` joins them into the config of a run.
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from flowasd.errors import UserError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Key:
    """What is said of a key besides its name, type and default.

    Attributes:
        meaning: One line for `docs/configuration.md`.
        unit: Unit of the value; empty if it has none.
        minimum: The lowest value allowed, of each number of a tuple; `None` if there is no bound.
        maximum: The highest value allowed, likewise.
        above: A bound that the value must exceed.
        below: A bound that the value must stay below.
        choices: The values allowed, such as a registry; `None` if all are.
    """

    meaning: str
    unit: str = ""
    minimum: int | float | None = None
    maximum: int | float | None = None
    above: int | float | None = None
    below: int | float | None = None
    choices: Collection[str] | None = None

    def problem(self, value: Any) -> str | None:
        """Returns what is wrong with a value, such as "must be at least 1"; `None` if nothing."""
        if self.choices is not None:
            return None if value in self.choices else f"is not one of {', '.join(self.choices)}"
        numbers = [v for v in (value if isinstance(value, tuple) else (value,)) if _is_number(v)]
        if not all(map(math.isfinite, numbers)):
            return "must be finite"
        bounds: list[tuple[float | None, Callable[[float, float], bool], str]] = [
            (self.minimum, lambda v, bound: v >= bound, "at least"),
            (self.maximum, lambda v, bound: v <= bound, "at most"),
            (self.above, lambda v, bound: v > bound, "above"),
            (self.below, lambda v, bound: v < bound, "below"),
        ]
        for bound, holds, words in bounds:
            if bound is not None and not all(holds(v, bound) for v in numbers):
                return f"must be {words} {bound:g}"
        return None


def key(default: Any, meaning: str, **details: Any) -> Any:
    """Makes a dataclass field that is a key of the config.

    Args:
        default: Its default.
        meaning: One line for `docs/configuration.md`.
        details: The other attributes of `Key`.
    """
    return dataclasses.field(default=default, metadata={"key": Key(meaning, **details)})


def walk(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any, Key]]:
    """Yields the path, the value and the `Key` of every key of a dataclass, in order."""
    for field in dataclasses.fields(settings):
        value, path = getattr(settings, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from walk(value, f"{path}.")
        elif holds_settings(value):
            for i, item in enumerate(value):
                yield from walk(item, f"{path}[{i}].")
        else:
            yield path, value, field.metadata["key"]


def problems(settings: Any) -> Iterator[str]:
    """Yields what is wrong with every key whose value is out of its bounds."""
    for path, value, declared in walk(settings):
        if problem := declared.problem(value):
            yield f"{path}={value} {problem}"


def build(cls: type[T], values: Mapping[str, Any], where: str = "config") -> T:
    """Makes a dataclass of keys from nested mappings, such as JSON.

    Args:
        cls: The dataclass.
        values: Every key by its name; lists stand for tuples.
        where: Path of the mapping, for messages.

    Raises:
        UserError: If a key is missing, unknown or of another type.
    """
    types = get_type_hints(cls)
    if not isinstance(values, Mapping):
        raise UserError(f"{where} is not a group of keys")
    if unknown := sorted(values.keys() - types.keys()):
        raise UserError(f"{where}.{unknown[0]}: there is no such key; remove it")
    if missing := [name for name in types if name not in values]:
        raise UserError(f"{where}.{missing[0]} is missing; add the key")
    return cls(**{n: _converted(types[n], values[n], f"{where}.{n}") for n in types})


def _converted(wanted: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        return build(wanted, value, path)
    if get_origin(wanted) is tuple:
        items = list(value) if isinstance(value, list | tuple) else [value]
        item_types = get_args(wanted)
        if item_types[-1] is Ellipsis:
            item_types = (item_types[0],) * len(items)
        if len(items) == len(item_types):
            pairs = zip(item_types, items, strict=True)
            return tuple(_converted(t, v, f"{path}[{i}]") for i, (t, v) in enumerate(pairs))
    elif isinstance(wanted, UnionType):
        if value is None and NoneType in get_args(wanted):
            return None
        return _converted(next(t for t in get_args(wanted) if t is not NoneType), value, path)
    elif wanted is float and _is_number(value):
        return float(value)
    elif (
        isinstance(wanted, type)
        and isinstance(value, wanted)
        and not (wanted is int and isinstance(value, bool))
    ):
        return value
    name = getattr(wanted, "__name__", str(wanted)) if get_origin(wanted) is None else str(wanted)
    raise UserError(f"{path}={value!r} is not of the type {name}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def holds_settings(value: Any) -> bool:
    """Whether a value is a tuple of dataclasses of keys, such as the levels of the flow."""
    return isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value))
