"""Small JSON documents that carry their own digest: manifests, records of runs, claims, what is remembered."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.errors import StoreError
from pipeline.recipe import canonical, sha256
from pipeline.stage import Json

_SEAL = "sha256"

_T = TypeVar("_T")


def seal(document: Mapping[str, Json]) -> bytes:
    """Return a document as JSON that carries its own SHA-256, so that any change to it is noticed."""
    return canonical({**document, _SEAL: sha256(canonical(document))})


def unseal(data: bytes) -> dict[str, Json]:
    """Return the document that `seal` made these bytes from.

    Raises:
        ValueError: They are not what `seal` returns.
    """
    document = json.loads(data)
    digest = document.pop(_SEAL, None) if isinstance(document, dict) else None
    # Bytes, not values: a document has one form only.
    if digest is None or seal(document) != data:
        raise ValueError("it does not match its own digest")
    return dict(document)


@dataclass(frozen=True)
class Run:
    """The record of a finished run.

    Attributes:
        name: Its name.
        keys: The keys of the results it made or reused, by task id.
        created: When it was recorded, ISO 8601 in UTC.
        digests: What each of these results was then, by task id: under its key another may lie by now. An early version
            recorded none.
    """

    name: str
    keys: Mapping[str, str]
    created: str
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """What a run in progress uses.

    Attributes:
        name: Its name.
        keys: The keys of the results it has made or reused so far, by task id.
        process: Which process it is; what `temporary_name` returned to it.
    """

    name: str
    keys: Mapping[str, str]
    process: str


def config_name(run: str) -> str:
    """Return the name in the config of a run, which is named NAME-DATE-TIME-MILLISECONDS."""
    return run.rsplit("-", 3)[0]


def read_run(data: bytes, path: str) -> Run:
    """Return the record of a run.

    Args:
        data: Its bytes.
        path: Where it was found.

    Raises:
        ValueError: They are damaged, or the record of another run.
    """
    return _read(Run, run_path, data, path)


def read_claim(data: bytes, path: str) -> Claim:
    """Return a claim; as `read_run`."""
    return _read(Claim, claim_path, data, path)


def read_memory(data: bytes, path: str) -> tuple[str, Json]:
    """Return the name and the value of what is remembered; as `read_run`."""
    document = unseal(data)
    if memory_path(str(document.get("name"))) != path:
        raise ValueError("it is what is remembered under another name")
    return document["name"], document.get("value")


def _read(kind: type[_T], path_for: Callable[[str], str], data: bytes, path: str) -> _T:
    what = kind.__name__.lower()
    try:
        document = unseal(data)
        found, home = kind(**document), path_for(document["name"])
    except (TypeError, KeyError, StoreError) as error:
        raise ValueError(f"it is no {what}") from error
    if home != path:
        raise ValueError(f"it is the {what} {document['name']}")
    return found


def run_path(name: str) -> str:
    """Return the path of the record of a run.

    Raises:
        StoreError: The name cannot be a file's.
    """
    return f"runs/{_file_name(name)}"


def claim_path(name: str) -> str:
    """Return the path of the claim of a run in progress.

    Raises:
        StoreError: The name cannot be a file's.
    """
    return f"claims/{_file_name(name)}"


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[\w-][\w.-]{0,199}", name):
        raise StoreError(f"the name of a run must be of letters, digits, '.', '-' and '_'; got {name!r}")
    return f"{name}.json"


def memory_path(name: str) -> str:
    """Return the path of what is remembered under a name, which may be anything."""
    return f"memory/{sha256(name.encode())}.json"
