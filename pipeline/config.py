"""Reading a config file into a model, writing it back, and saying what changed. Knows none of the models.

config_source   the text: YAML and overrides to values, and the line of each
config_words    the wording: an error of the schema to `must <rule>; got <value>; did you mean <x>?`
config (here)   the whole: values and a schema to a model, or all faults at once
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline import config_source
from pipeline.config_source import Source, read
from pipeline.config_words import cut_apart, describe, shown
from pipeline.errors import ConfigError, Fault, Location, dotted

if TYPE_CHECKING:
    from pathlib import Path

Model = TypeVar("Model", bound=BaseModel)
Check = Callable[[Model, Source], Sequence[Fault]]


@dataclass(frozen=True)
class Loaded(Generic[Model]):
    """A config, and where each of its values was written.

    Attributes:
        model: The config.
        source: What the file and the overrides say.
    """

    model: Model
    source: Source

    def error(self, faults: Sequence[Fault]) -> ConfigError:
        """Return the error for faults that were found later, each where it is in the config."""
        return _error([_placed(self.source, location, message) for location, message in faults])


def load(
    path: Path, schema: type[Model], overrides: Sequence[str] = (), checks: Check[Model] | None = None
) -> Loaded[Model]:
    """Read a config file.

    Args:
        path: The YAML file.
        schema: The model that the file must fit.
        overrides: Texts such as `student.epochs=30`, each put in place of what the file says. The value is
            YAML; a section given as a whole replaces the whole section; the last of equal overrides wins.
        checks: Called with a model that fits, for rules that the schema cannot know, and with what was written: of
            values that do not fit, which are among its faults, the model has the defaults. Returns location and
            message of every fault, such as `(("student", "epochs"), "must be at most 9; got 30")`.

    Returns:
        The model, and where its values were written.

    Raises:
        ConfigError: The file cannot be read, is not YAML or does not fit. The message has a line for every
            fault, `FILE:LINE: path: must ...; got ...; did you mean ...?`, in the order of the file, those of
            the overrides last.
    """
    source = read(path, overrides)
    model = None if source.values is None else _fitted(source, schema)
    if model is not None and checks is not None:
        told = {fault.path for fault in source.faults}
        for location, message in checks(model, source):
            # Beside other faults only of what was written: a default may stand in for a value that does not fit.
            if not told or (location in source.places and dotted(location) not in told):
                source.faults.append(_placed(source, location, message))
    if model is None or source.faults:
        raise _error(source.faults)
    return Loaded(model, source)


def _error(faults: Sequence[config_source.Fault]) -> ConfigError:
    return ConfigError("\n".join(map(str, sorted(faults, key=lambda fault: fault.place))))


def _placed(source: Source, location: Location, message: str) -> config_source.Fault:
    return config_source.Fault(source.place(location), dotted(location), message)


def _fitted(source: Source, schema: type[Model]) -> Model | None:
    """Return the values as a model; those that do not fit are among the faults, and left out.

    Where what is left of their sections does not fit either, the whole sections are left out. Returns None where even
    the others do not make a model.
    """
    unreadable = {fault.path for fault in source.faults}
    try:
        return schema.model_validate(source.values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    for detail in details:
        location = detail["loc"]
        if dotted(location) not in unreadable:
            source.faults.append(_placed(source, location, describe(detail, schema)))
    left_out = {detail["loc"] for detail in details}
    for _ in range(2):
        try:
            return schema.model_validate(_without(source.values, left_out))
        except ValidationError as error:
            left_out |= {detail["loc"][:1] for detail in error.errors(include_url=False)}
    return None


def _without(values: Any, locations: Collection[Location], above: Location = ()) -> Any:
    """Return nested values without those at some locations; a list that has one is left out whole."""
    if not isinstance(values, Mapping):
        return values
    holders = {location[: len(above) + 1] for location in locations if location[: len(above)] == above}
    kept: dict[str, Any] = {}
    for key, value in values.items():
        here = (*above, key)
        if here in locations or (here in holders and not isinstance(value, Mapping)):
            continue
        kept[key] = _without(value, locations, here)
    return kept


def dump(model: BaseModel) -> str:
    """Return the YAML of a model, every default written out; `load` makes an equal model of it."""
    from ruamel.yaml import YAML  # noqa: PLC0415  # 10 ms that `--help` need not wait for

    yaml: Any = YAML(typ="safe", pure=True)  # whose options are all declared as None
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    # Characters that old YAML took for the end of a line would be written as they are, and read as spaces.
    text = model.model_dump_json(by_alias=True)
    yaml.allow_unicode = not any(character in text for character in "\x85\u2028\u2029\ufeff")
    yaml.width = 2**16  # folding a long text would be correct, and hard to read
    written = io.StringIO()
    yaml.dump(model.model_dump(mode="json", by_alias=True), written)
    return written.getvalue()


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say what differs between two nested mappings of plain values.

    Args:
        old: Such as the resolved config of an earlier run.
        new: Such as the resolved config of this one.

    Returns:
        A line for every value that differs, sorted by path, such as `student.epochs 20 -> 30`; what only one
        of them has is `(none)` in the other. 1 and 1.0 differ, as they do in a recipe. Of long values only so much is
        shown that where they begin to differ is seen.
    """
    before, after = leaves(old), leaves(new)
    both = {
        path: (before.get(path, "(none)"), after.get(path, "(none)")) for path in sorted(before.keys() | after.keys())
    }
    return [f"{path} {' -> '.join(cut_apart(was, now))}" for path, (was, now) in both.items() if was != now]


def leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[str, str]:
    """Return all values below a mapping as text, by dotted path.

    Args:
        values: Such as a resolved config.
        above: The path of the mapping.
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            found |= leaves(value, path)
        else:
            found[dotted(path)] = shown(_in_order(value))
    return found


def _in_order(value: Any) -> Any:
    """Return a value, the keys of every mapping in it sorted: their order says nothing, and kept recipes lose it."""
    if isinstance(value, Mapping):
        return {key: _in_order(value[key]) for key in sorted(value, key=str)}
    return [_in_order(item) for item in value] if isinstance(value, list | tuple) else value
