"""The reference of the config, written from its schema: `python -m pipeline.cli.reference > docs/config.md`."""

import json
import sys
from collections.abc import Iterator, Mapping

from pipeline.cli.schema import Config
from pipeline.stage import Json

Schema = Mapping[str, Json]

INTRODUCTION = """\
# The config

One YAML file; every key but `data.source` has a default. [`pipeline.yaml`](../pipeline.yaml) is an example.
`python -m pipeline validate CONFIG` lists all faults of one, and `--set a.b=c` replaces a value of it for one command.
This page is written by `python -m pipeline.cli.reference > docs/config.md`.
"""
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
}
KINDS = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}


def reference() -> str:
    """Return the reference as Markdown."""
    schema = Config.model_json_schema()
    return "\n".join([INTRODUCTION, *_section("", {}, schema, {}, schema["$defs"])])


def _section(
    path: str, field: Schema, section: Schema, defaults: Mapping[str, Json], known: Mapping[str, Schema]
) -> Iterator[str]:
    """Yield the lines about a section: its own keys first, then the sections in it."""
    inner = {name: found for name, one in section["properties"].items() if (found := _inner(one, known))}
    if path:
        yield f"## {path}\n\n{_told(field, section)}\n"
    yield "| key | value | default | |\n|---|---|---|---|"
    for name, one in section["properties"].items():
        if name not in inner:
            cells = (_value(one, known), _default(name, one, defaults), " ".join(one.get("description", "").split()))
            yield f"| `{name}` | {' | '.join(map(_cell, cells))} |"
    if inner:
        yield f"\nSections: {', '.join(f'`{path}.{name}`'.replace('`.', '`') for name in inner)}."
    yield ""
    for name, found in inner.items():
        one = section["properties"][name]
        of_section = defaults.get(name, one.get("default")) or {}
        yield from _section(f"{path}.{name}".lstrip("."), one, found, of_section, known)


def _told(field: Schema, section: Schema) -> str:
    """Return what a field says of the section that it is, or else what the section says of itself."""
    words: str = field.get("description") or section["description"]
    return f"{words} Null, unless it is given." if {"type": "null"} in field.get("anyOf", []) else words


def _inner(field: Schema, known: Mapping[str, Schema]) -> Schema | None:
    """Return the section that a field is, or may be."""
    options = [field, *field.get("anyOf", [])]
    names = [option["$ref"].rsplit("/", 1)[1] for option in options if "$ref" in option]
    return known[names[0]] if names else None


def _value(field: Schema, known: Mapping[str, Schema]) -> str:
    """Return in words what a field takes."""
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        return "; or ".join(_value(option, known) for option in field["anyOf"])
    if "$ref" in field:
        return f"a section: {', '.join(f'`{name}`' for name in known[field['$ref'].rsplit('/', 1)[1]]['properties'])}"
    if field.get("type") == "array":
        return f"list of ({_value(field.get('items', {}), known)})"
    if field.get("type") == "object":
        return f"by name: {_value(field['additionalProperties'], known)}"
    bounds = [words.format(f"{field[bound]:g}") for bound, words in BOUNDS.items() if bound in field]
    return ", ".join([KINDS[field["type"]] if "type" in field else "any", *bounds])


def _default(name: str, field: Schema, defaults: Mapping[str, Json]) -> str:
    if name not in defaults and "default" not in field:
        return "must be given"
    value = defaults.get(name, field.get("default"))
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
