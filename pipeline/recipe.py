"""Recipes: what a result is made from, written so that equal work has an equal key on every machine."""

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.stage import Json, Stage, Task, Unrecorded


def plain(value: Any) -> Json:
    """Return a value as JSON would hold it: models as mappings, without what is `Unrecorded`, and tuples as lists."""
    if isinstance(value, BaseModel):
        fields = ((name, field, getattr(value, name)) for name, field in type(value).model_fields.items())
        return {field.alias or name: plain(item) for name, field, item in fields if _is_recorded(field, item)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _is_recorded(field: FieldInfo, value: Any) -> bool:
    """Whether a recipe holds the value of a field."""
    return not any(isinstance(mark, Unrecorded) and value in mark.values for mark in field.metadata)


def canonical(value: Json) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces, UTF-8, shortest floats, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def sha256(data: bytes | memoryview) -> str:
    """Return the hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def derive_seed(seed: int, stage: str, identity: str) -> int:
    """Return a seed in [0, 2**63) that no other stage or identity shares, whatever else the run holds."""
    digest = hashlib.sha256(canonical([seed, stage, identity])).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def task_seed(task: Task, seed: int) -> int:
    """Return the seed of a task in a run with this seed."""
    stage = task.stage if task.seed_stage is None else task.seed_stage
    identity = task.identity if task.seed_identity is None else task.seed_identity
    return derive_seed(seed, stage, identity)


def recipe(stage: Stage, task: Task, *, seed: int, inputs: Mapping[str, Json]) -> dict[str, Json]:
    """Return everything that decides a task's result, and nothing else.

    Args:
        stage: The task's stage.
        task: The task.
        seed: The run's seed.
        inputs: By argument name, the digest of the artifact read, or a list of digests.

    Returns:
        A mapping for `canonical`; the SHA-256 of that is the key of the result.
    """
    return {
        "stage": stage.name,
        "version": stage.version,
        "parameters": plain(task.parameters),
        "inputs": dict(inputs),
        "seed": task_seed(task, seed),
        "threads": task.threads,
        "packages": {name: significant(metadata.version(name)) for name in (*stage.packages, *task.packages)},
    } | ({"revision": task.revision} if task.revision else {})


def significant(version: str) -> str:
    """Return the part of a version that changes where results may: the major one, below 1 the minor one as well."""
    major, *others = version.split(".")
    return ".".join([major, *others[:1]]) if major == "0" else major


def key_of(recipe: Mapping[str, Json]) -> str:
    """Return the key under which a recipe's result is kept."""
    return sha256(canonical(recipe))
