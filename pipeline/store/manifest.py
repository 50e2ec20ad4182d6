"""Manifests: what recipes made, and where it is."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from pipeline.errors import StoreError
from pipeline.recipe import canonical, key_of, sha256
from pipeline.stage import Json
from pipeline.store.records import seal, unseal


@dataclass(frozen=True)
class KeptObject:
    """One object of an artifact.

    Attributes:
        name: Its name within the artifact, such as `facts.json`.
        sha256: The hexadecimal SHA-256 of its bytes, which is its name in the store.
        bytes: Its size.
    """

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a recipe made.

    Attributes:
        key: The SHA-256 of the recipe.
        recipe: What it was made from.
        objects: What it consists of.
        seconds: How long making it took.
        created: When it was kept, ISO 8601 in UTC.
    """

    key: str
    recipe: Mapping[str, Json]
    objects: tuple[KeptObject, ...]
    seconds: float
    created: str

    @property
    def digest(self) -> str:
        """The SHA-256 of the content, whatever its recipe: what later recipes name as their input."""
        return sha256(canonical({item.name: item.sha256 for item in self.objects}))

    def object(self, name: str) -> KeptObject | None:
        """Return the object with this name, or None."""
        return next((item for item in self.objects if item.name == name), None)

    def check_is(self, digest: str | None, what: str) -> None:
        """Check that a result is the one that a run had: what is made again under the same recipe can be another.

        Args:
            digest: The content's, as the run has recorded it; None where that is not known.
            what: What it is called in an error, with the run.

        Raises:
            StoreError: It is another.
        """
        if digest not in {None, self.digest}:
            rule, got = "be what that run made or reused", "another, which was made in its place since"
            raise StoreError(f"{what} must {rule}; got {got}: do the run again")

    def sealed(self) -> bytes:
        """Return the manifest as it is stored."""
        return seal(asdict(self) | {"digest": self.digest})

    @classmethod
    def unsealed(cls, data: bytes, path: str) -> Self:
        """Return the manifest that `sealed` made these bytes from.

        Args:
            data: The bytes.
            path: Where they were found.

        Raises:
            ValueError: They are not what `sealed` returns, or belong elsewhere.
        """
        document = unseal(data)
        digest = document.pop("digest", None)
        try:
            manifest = cls(**document | {"objects": tuple(KeptObject(**item) for item in document["objects"])})
        except (KeyError, TypeError) as error:
            raise ValueError("it is not a manifest") from error
        if manifest.digest != digest or manifest.key != key_of(manifest.recipe):
            raise ValueError("it contradicts itself")
        if manifest_path(manifest.key) != path:
            raise ValueError(f"it is the manifest of {manifest.key}")
        return manifest


def object_path(digest: str) -> str:
    """Return the path of the object with this SHA-256."""
    return f"objects/{digest[:2]}/{digest}"


def manifest_path(key: str) -> str:
    """Return the path of the manifest with this key.

    Raises:
        StoreError: It is not a key.
    """
    if not re.fullmatch("[0-9a-f]{64}", key):
        raise StoreError(f"a key must be 64 hexadecimal digits; got {key!r}")
    return f"manifests/{key[:2]}/{key}.json"
