"""What a config's schema knows: which keys a section has, and where a key belongs that was written elsewhere."""

from collections.abc import Collection, Iterator
from itertools import takewhile
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline.errors import Location

Schema = type[BaseModel]


def keys_of(section: Schema) -> dict[str, Any]:
    """Return the keys of a section as a config writes them, and what each is annotated with."""
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def section_at(schema: Schema, location: Location) -> Schema:
    """Return the section at a location; of a value that is none, the section around it."""
    for part in location:
        schema = next(_models(keys_of(schema).get(str(part))), schema)
    return schema


def has_section(schema: Schema, location: Location) -> bool:
    """Return whether there is a section at a location."""
    return section_at(schema, location) is not section_at(schema, location[:-1])


def entry_of(schema: Schema, location: Location) -> Schema | None:
    """Return the section that each entry of the list at a location is; None where they are no sections."""
    annotation = keys_of(section_at(schema, location[:-1])).get(str(location[-1]))
    return next(_models(annotation), None)


def accepts(schema: Schema, location: Location, value: Any) -> bool:
    """Return whether the key at a location takes a value, as far as the schema says; of an entry of a list it may."""
    fields = section_at(schema, location[:-1]).model_fields
    field = next((field for name, field in fields.items() if location[-1] == (field.alias or name)), None)
    if field is None:
        return True
    taken: Any = Annotated[(field.annotation, *field.metadata)]  # made at run time: nothing for a type checker
    try:
        TypeAdapter(taken).validate_python(value)
    except ValidationError:
        return False
    return True


def where_known(schema: Schema, here: Location, keys: Collection[str]) -> list[Location]:
    """Return the sections that have all of some keys and are the nearest to where these were written.

    Args:
        schema: The whole.
        here: The section in which they were written.
        keys: The keys.

    Returns:
        Their locations, that of `here` left out; the nearest are those that have most of its location in common.
    """
    if not keys:
        return []
    places = [place for place, section in _sections(schema) if place != here and set(keys) <= keys_of(section).keys()]
    nearest = max((_n_in_common(place, here) for place in places), default=0)
    return [place for place in places if _n_in_common(place, here) == nearest]


def _n_in_common(place: Location, other: Location) -> int:
    """Return how many parts two locations begin with."""
    return sum(1 for _ in takewhile(lambda parts: parts[0] == parts[1], zip(place, other, strict=False)))


def as_section(section: Schema, text: str) -> str | None:
    """Return what a text that stands where a section belongs is likely to mean, such as `{name: resnet20}`.

    It is the key of that name, the value of a choice, or what the section asks for as text; `none` is nothing of it.
    """
    if text.lower() == "none":
        return None
    keys = keys_of(section)
    if keys.get(text) is bool:
        return f"{{{text}: true}}"
    choices = [key for key, annotation in keys.items() if get_origin(annotation) is Literal]
    chosen = [key for key in choices if text in get_args(keys[key])]
    for key in [*chosen, *(key for key, annotation in keys.items() if annotation is str)]:
        return f"{{{key}: {text}}}"
    inner = {key: as_section(one, text) for key, one in keys.items() if _is_section(one)}
    return next((f"{{{key}: {meant}}}" for key, meant in inner.items() if meant), None)


def _sections(schema: Schema, above: Location = ()) -> Iterator[tuple[Location, Schema]]:
    """Yield all sections but those in lists, by their locations."""
    yield above, schema
    for key, annotation in keys_of(schema).items():
        options = [annotation, *(() if get_origin(annotation) is list else get_args(annotation))]
        for section in filter(_is_section, options):
            yield from _sections(section, (*above, key))


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _models(annotation: Any) -> Iterator[Schema]:
    """Yield the models that an annotation names, such as that of `Model | None` or `list[Model]`."""
    if _is_section(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
