"""What a config file and its overrides say, and where they say it. Knows no schema.

YAML is read as nodes rather than values: only nodes know their lines, and only so can every repeated key be
reported at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.config_words import shortened
from pipeline.errors import Location, dotted, file_meant
from pipeline.runs import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ruamel.yaml.nodes import Node

TAG = "tag:yaml.org,2002:"

# What to do about the syntax errors people make most; the parser only says what it met.
REMEDIES = {
    "\\t": "indent with spaces instead of tabs",
    "mapping values are not allowed": "put a value that contains ': ' in quotes, and check the indentation",
    "undefined alias": "define it before with '&', or put a value that starts with '*' in quotes",
    "another document": "keep one document, without '---' between parts",
    "unexpected end of stream": "close the quote",
    "special characters are not allowed": "remove it, or write it as an escape in double quotes",
}
REMEDY = "check indentation, brackets and quotes there"


_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""How a text begins that an editor has saved in UTF-16, where half of the bytes are zero."""


class Place(NamedTuple):
    """Where a value was written; places sort in the order in which faults are listed.

    Attributes:
        part: 0 for the file, 1 for an override.
        order: The line, or the override's position.
        label: What a message begins with, such as `run.yaml:3` or `--set seed=1`.
    """

    part: int
    order: int
    label: str


class Fault(NamedTuple):
    """One thing that is wrong: where, with which value, and what must hold."""

    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place.label, self.path, self.message) if part)


@dataclass
class Source:
    """Values, where each was written, and what is wrong with them already.

    Attributes:
        values: What was read, as a mapping where it is a whole file; None where it cannot be read, and then
            there is a fault that says so.
        places: The place of every value by its location; the empty location is the whole.
        faults: Faults of the text itself.
        file: The place of the file without a line, for what it says nothing of; None for an override.
    """

    values: Any
    places: dict[Location, Place]
    faults: list[Fault] = field(default_factory=list)
    file: Place | None = None

    def place(self, location: Location) -> Place:
        """Return where a value was written, or the section around it where it was not: of the file's own no line."""
        found = location
        while found not in self.places:
            found = found[:-1]
        return self.file if location and not found and self.file else self.places[found]


def read(path: Path, overrides: Sequence[str]) -> Source:
    """Read a config file and put the overrides in.

    Args:
        path: The file.
        overrides: Texts `PATH=VALUE`; the last of equal ones wins, and a mapping replaces the whole section.

    Returns:
        What was read. Faults are kept in it, not raised.
    """
    source = _read_file(path)
    for index, text in enumerate(overrides):
        _put(source, text, Place(1, index, f"--set {text}"))
    return source


def _read_file(path: Path) -> Source:
    """Read the file alone."""
    whole = Place(0, 0, str(path))

    def line(number: int) -> Place:
        return Place(0, number, f"{path}:{number}")

    try:
        data = path.read_bytes()
        source = _parse(data.decode("utf-8-sig"), line, ())
        source.file = whole
    except OSError as error:
        return Source(None, {(): whole}, [Fault(whole, "", _unreadable(path, error))])
    except UnicodeDecodeError as error:
        if b"\0" in data and not data.startswith(_UTF_16):
            message = "must be a config, text in YAML; got a file that is no text: name the config"
            return Source(None, {(): whole}, [Fault(whole, "", message)])
        place = line(data.count(b"\n", 0, error.start) + 1)
        message = f"must be UTF-8 text; got the byte 0x{data[error.start]:02x}; save the file as UTF-8"
        return Source(None, {(): place}, [Fault(place, "", message)])
    if not isinstance(source.values, dict):
        if not source.faults:
            found = "an empty file" if source.values is None else shortened(source.values)
            message = f"must hold keys and values, such as 'seed: 0'; got {found}"
            source.faults.append(Fault(source.places[()], "", message))
        source.values = None
    return source


def _unreadable(path: Path, error: OSError) -> str:
    """Return what to say of a file that cannot be read."""
    reason = (error.strerror or str(error)).lower()
    hint = ""
    if isinstance(error, IsADirectoryError):
        hint = f"; did you mean '{path / CONFIG}'?" if (path / CONFIG).is_file() else "; name a file in it"
        reason = "a directory"
    if isinstance(error, FileNotFoundError) and path.parent.is_dir():
        hint = file_meant(path.name, sorted(other.name for other in path.parent.glob("*.y*ml")))
    return f"must be a file that can be read; got: {reason}{hint}"


def _put(source: Source, text: str, place: Place) -> None:
    """Put one override in."""
    path, equals, written = text.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        source.faults.append(Fault(place, "", f"must be PATH=VALUE, such as student.epochs=30; got '{text}'"))
        return
    if indexed := re.match(r"([^\[\]]+)\[", path):
        message = f"must name a key; got a place in a list; set the whole list, such as {indexed[1]}=[...]"
        source.faults.append(Fault(place, path.strip(), message))
        return
    given = _parse(written, lambda _: place, keys)
    source.faults.extend(given.faults)
    section = source.values
    if given.faults or section is None:
        return
    for depth in range(1, len(keys)):
        inner = section.get(keys[depth - 1])
        if inner is None:
            inner = section[keys[depth - 1]] = {}
            source.places.setdefault(keys[:depth], place)
        if not isinstance(inner, dict):
            hint = f"; set the whole list, such as {dotted(keys[:depth])}=[...]" if isinstance(inner, list) else ""
            message = f"must be a section for a key to be set in it; got {shortened(inner)}{hint}"
            source.faults.append(Fault(place, dotted(keys[:depth]), message))
            return
        section = inner
    section[keys[-1]] = given.values
    kept = {location: old for location, old in source.places.items() if location[: len(keys)] != keys}
    source.places = kept | given.places


def _parse(text: str, place: Callable[[int], Place], location: Location) -> Source:
    """Return the value of a YAML text that belongs at a location."""
    from ruamel.yaml import YAML  # noqa: PLC0415  # 10 ms that `--help` need not wait for
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415

    source = Source(None, {location: place(1)})
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
        if node is not None:
            source.values = _Reader(yaml.constructor, place, source).read(node, location)
    except RecursionError:
        number, found = 1, "got too many levels of nesting; remove some"
    except MarkedYAMLError as error:
        mark = error.problem_mark
        number, found = 1 if mark is None else mark.line + 1, _problem(str(error.problem), error.context_mark)
    except YAMLError as error:  # a character that no YAML text may hold, which has a position but no line
        position = re.search(r"position (\d+)", str(error))
        number = text.count("\n", 0, int(position[1])) + 1 if position else 1
        found = _problem(str(error).splitlines()[0])
    else:
        return source
    source.faults.append(Fault(place(number), dotted(location), f"must be YAML; {found}"))
    return source


def _problem(problem: str, context: Any = None) -> str:
    """Return what the parser met, what it was in, and what to do about it."""
    opened = "" if context is None else f" in what begins on line {context.line + 1}"
    remedy = next((remedy for part, remedy in REMEDIES.items() if part in problem), REMEDY)
    return f"the parser says: {problem.removeprefix('but ')}{opened}; {remedy}"


class _Reader:
    """Turns nodes into plain values."""

    def __init__(self, constructor: Any, place: Callable[[int], Place], source: Source) -> None:
        self._place = place
        self._source = source
        self._scalars: dict[str, Callable[[Any], Any]] = {
            TAG + "null": constructor.construct_yaml_null,
            TAG + "bool": constructor.construct_yaml_bool,
            TAG + "int": constructor.construct_yaml_int,
            TAG + "float": constructor.construct_yaml_float,
            TAG + "str": lambda node: node.value,
            TAG + "timestamp": lambda node: node.value,  # YAML 1.2's core schema has no dates
        }
        self._open: list[Node] = []

    def read(self, node: Any, location: Location) -> Any:
        """Return a node's value, the places of all values in it noted."""
        from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode  # noqa: PLC0415

        self._source.places.setdefault(location, self._at(node))
        if any(node is outer for outer in self._open):
            return self._fault(node, location, "must not contain itself")
        self._open.append(node)
        try:
            if isinstance(node, MappingNode) and node.tag == TAG + "map":
                return self._mapping(node, location)
            if isinstance(node, SequenceNode) and node.tag == TAG + "seq":
                return [self.read(item, (*location, index)) for index, item in enumerate(node.value)]
            if isinstance(node, ScalarNode) and node.tag in self._scalars:
                return self._scalar(node)
            return self._fault(node, location, f"must have no tag; got {str(node.tag).replace(TAG, '!!')}")
        finally:
            self._open.pop()

    def _mapping(self, node: Any, location: Location) -> dict[str, Any]:
        """Return a mapping; of a repeated key the first value."""
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value  # a key is its text, also where it looks like a number
            if not isinstance(key, str):
                self._fault(key_node, location, "must have plain text for keys; got a list or section as a key")
                continue
            if key in values:
                first = self._source.places[(*location, key)].label
                self._fault(key_node, (*location, key), f"must be given once; got it at {first} already")
                continue
            self._source.places[(*location, key)] = self._at(key_node)
            values[key] = self.read(value_node, (*location, key))
        return values

    def _scalar(self, node: Any) -> Any:
        """Return a scalar's value."""
        try:
            return self._scalars[node.tag](node)
        except ValueError:  # the parser takes `0b_` or `._` for a number: it is the text that it is
            return node.value

    def _at(self, node: Any) -> Place:
        return self._place(node.start_mark.line + 1)

    def _fault(self, node: Any, location: Location, message: str) -> None:
        self._source.faults.append(Fault(self._at(node), dotted(location), message))
