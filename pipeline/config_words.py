"""How faults of a config are worded: `must <rule>; got <value>; did you mean <x>?`. Reads no file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.config_schema import accepts, as_section, entry_of, has_section, keys_of, section_at, where_known
from pipeline.errors import Location, did_you_mean, dotted
from pipeline.labels import common_start

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

Context = Mapping[str, Any]

A_LIST = "be a list, such as [a, b]"
A_SECTION = "be a section of keys and values"

# By pydantic's type of error, what must hold; filled in from the error's context.
RULES = {
    "bool_type": "be true or false",
    "int_type": "be an integer",
    "float_type": "be a number",
    "finite_number": "be a finite number",
    "string_type": "be text",
    "tuple_type": A_LIST,
    "list_type": A_LIST,
    "dict_type": A_SECTION,
    "model_type": A_SECTION,
    "greater_than": "be greater than {gt:g}",
    "greater_than_equal": "be at least {ge:g}",
    "less_than": "be less than {lt:g}",
    "less_than_equal": "be at most {le:g}",
    "string_too_short": "have at least {min_length} characters",
    "string_too_long": "have at most {max_length} characters",
    "string_pattern_mismatch": "match the pattern {pattern}",
    "too_short": "have at least {min_length} entries",
    "too_long": "have at most {max_length} entries",
    "literal_error": "be {expected}",
}

LONGEST = 60
"""Letters of a value in a message."""

MOST_PLACES = 3
"""So many places are named in which a key may belong."""

SWITCHES = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}


def shown(value: Any) -> str:
    """Return a plain value on one line, nearly as YAML has it; text always in quotes."""
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(shown, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return str(value)


def shortened(value: Any) -> str:
    """Return a value as `shown`, cut where a message would lose its end to it."""
    text = shown(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def cut_apart(left: str, right: str) -> tuple[str, str]:
    """Return two texts that differ, of long ones what is around the first place where they do."""
    start = common_start([left, right])
    return _around(left, start), _around(right, start)


def _around(text: str, place: int) -> str:
    if len(text) <= LONGEST:
        return text
    start = max(0, min(place - LONGEST // 4, len(text) - LONGEST))
    shown = text[start : start + LONGEST]
    return f"{'...' if start else ''}{shown}{'...' if start + LONGEST < len(text) else ''}"


def describe(error: ErrorDetails, schema: type[BaseModel]) -> str:
    """Return the message for one of pydantic's errors, without the place and the path.

    Args:
        error: One of `ValidationError.errors()`.
        schema: The model that was validated, for the keys that would have been right.

    Returns:
        The message. A validator's own `ValueError` is taken at its word.
    """
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "must be given; got nothing"
    if kind == "extra_forbidden":
        return _unknown_key(error, schema)
    if kind == "value_error":
        return str(context["error"])
    rule = RULES[kind].format(**context) if kind in RULES else f"be valid ({error['msg']})"
    if kind in NUMBERS:
        hint = _number_hint(NUMBERS[kind](value), schema, error["loc"])
    else:
        hint = HINTS[kind](value, context) if kind in HINTS else _shape_hint(error, schema)
    return f"must {rule}; got {shortened(value)}{hint}"


def _choice_hint(value: Any, context: Context) -> str:
    """Return the choice that is spelled most alike."""
    return did_you_mean(value, re.findall(r"'([^']*)'", context["expected"])) if isinstance(value, str) else ""


def _switch_hint(value: Any, _: Context) -> str:
    """Return what words such as `yes`, which were switches in YAML 1.1, stand for."""
    meant = SWITCHES.get(value.lower()) if isinstance(value, str) else None
    return f"; did you mean {meant}?" if meant else ""


def _text_hint(value: Any, _: Context) -> str:
    """Return the number or switch in quotes."""
    return f"; did you mean '{shown(value)}'?" if isinstance(value, int | float) else ""


def _shape_hint(error: ErrorDetails, schema: type[BaseModel]) -> str:
    """Return the list or the section that a lone value was meant to be in."""
    rule, location, value = RULES.get(error["type"]), error["loc"], error["input"]
    if rule == A_LIST:
        return _list_hint(value, None if isinstance(location[-1], int) else entry_of(schema, location))
    section = section_at(schema, location) if has_section(schema, location) else None
    if isinstance(location[-1], int):
        section = entry_of(schema, location[:-1])
    return _section_hint(value, section) if rule == A_SECTION else ""


def _list_hint(value: Any, entry: type[BaseModel] | None) -> str:
    """Return the list with the one entry, or what its entries have to say."""
    if entry is not None:
        asked = ", ".join(
            f"{field.alias or name}: ..." for name, field in entry.model_fields.items() if field.is_required()
        )
        return f"; did you mean [{{{asked}}}]?"
    if isinstance(value, str):
        return f"; did you mean [{'' if value.lower() == 'none' else value}]?"
    return f"; did you mean [{value}]?" if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _section_hint(value: Any, section: type[BaseModel] | None) -> str:
    """Return what a text is likely to mean there, or which keys there are; in a section of free keys neither."""
    if value is None:
        return "; leave the key out for its defaults"
    if section is None:
        return ""
    meant = as_section(section, value) if isinstance(value, str) else None
    return f"; did you mean {meant}?" if meant else f"; known here: {', '.join(sorted(keys_of(section)))}"


def _number_hint(meant: float | None, schema: type[BaseModel], location: Location) -> str:
    """Return the number that was meant, unless that would be refused, too."""
    return "" if meant is None or not accepts(schema, location, meant) else f"; did you mean {meant}?"


def _integer(value: Any) -> int | None:
    """Return the integer that a text holds, or a number with a point."""
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None


def _number(value: Any) -> float | None:
    """Return the finite number that a text or float holds."""
    try:
        number = float(value) if isinstance(value, str | float) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


HINTS: dict[str, Callable[[Any, Context], str]] = {
    "literal_error": _choice_hint,
    "bool_type": _switch_hint,
    "string_type": _text_hint,
}
NUMBERS: dict[str, Callable[[Any], float | None]] = {"int_type": _integer, "float_type": _number}
"""By type of error, the number that a value may stand for: one in quotes, or with a point."""


def _unknown_key(error: ErrorDetails, schema: type[BaseModel]) -> str:
    """Return the message for a key that its section does not have: where it belongs, or which is spelled alike."""
    *above, last = error["loc"]
    key, here, value = str(last), tuple(above), error["input"]
    known = keys_of(section_at(schema, here))
    places = where_known(schema, here, [key])
    if isinstance(value, dict):
        inner = list(map(str, value))
        hint = _place_hint([place for place in places if has_section(schema, (*place, key))], [key])
        hint = hint or did_you_mean(key, [name for name in known if has_section(schema, (*here, name))])
        hint = hint or _place_hint(where_known(schema, here, inner), inner)
    else:
        hint = _place_hint(places, [key])
    hint = hint or did_you_mean(key, sorted(known)) or f"; known here: {', '.join(sorted(known))}"
    return f"must be a key of its section; got '{key}'{hint}"


def _place_hint(sections: Sequence[Location], keys: Sequence[str]) -> str:
    """Return the keys within each section that they may belong in; nothing where there is none, or too many."""
    meant = [" and ".join(dotted((*section, key)) for key in keys) for section in sections]
    return f"; did you mean {' or '.join(meant)}?" if 1 <= len(meant) <= MOST_PLACES else ""
