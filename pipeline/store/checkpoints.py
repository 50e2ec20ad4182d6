"""What a task in progress keeps, so that it goes on from there when it is begun again. It is no result.

A checkpoint is one safetensors file, its facts among the tensors as JSON. Its name tells whose it is, how far the task
had come, and the SHA-256 of the bytes, so that a damaged one is noticed. Each is published under a name of its own, and
the earlier ones are deleted after that: of two processes that do the same task, one of them believed dead, neither can
disturb the other, and whoever begins the task again takes the one that came furthest.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import StoreError
from pipeline.recipe import canonical, plain, sha256
from pipeline.stage import Arrays, Artifact, Facts
from pipeline.store.contents import Content
from pipeline.store.store import FACTS, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHECKPOINTS = "checkpoints"

SHARE = 0.05
"""Share of a task's time that may go into keeping checkpoints."""

_NAME = re.compile(
    rf"{CHECKPOINTS}/(?P<key>[0-9a-f]{{64}})-(?P<position>\d{{12}})-(?P<sha256>[0-9a-f]{{64}})\.safetensors"
)


@dataclass(frozen=True, order=True)
class CheckpointName:
    """What the path of a checkpoint says.

    Attributes:
        key: The key of the recipe that the task makes.
        position: How far the task had come.
        sha256: The hexadecimal SHA-256 of its bytes.
    """

    key: str
    position: int
    sha256: str

    @property
    def path(self) -> str:
        """Where it is kept; of one task, the paths are in the order of their positions."""
        return f"{CHECKPOINTS}/{self.key}-{self.position:012d}-{self.sha256}.safetensors"

    @classmethod
    def parse(cls, path: str) -> "CheckpointName | None":
        """Return what a path says, or None if it is not that of a checkpoint."""
        match = _NAME.fullmatch(path)
        return cls(match["key"], int(match["position"]), match["sha256"]) if match else None


def _tell_nobody(_: float) -> None:
    """Tell nobody that a task goes on."""


class KeptCheckpoint:
    """The checkpoints of one task: a `pipeline.stage.Checkpoint` in a store.

    A checkpoint only saves work. So damage, and a store that cannot be written, are told as the store's damages are,
    and raise nothing.

    Args:
        store: The store.
        key: The key of the recipe that the task makes.
        seconds: How often one is due; less often where keeping it would take more than `SHARE` of the time.
        clock: Seconds, from anywhere.
        resumed: Called, when there is a checkpoint to go on from, with the seconds that went into it; with 0 if it
            is discarded.

    Attributes:
        spent: Seconds that went into what `load` returned.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        resumed: Callable[[float], None] = _tell_nobody,
    ) -> None:
        self._store = store
        self._key = key
        self._seconds = seconds
        self._clock = clock
        self._resumed = resumed
        self._started = clock()
        self._due = self._started + seconds
        self._loaded = ""
        self.spent = 0.0

    def load(self) -> Artifact | None:
        """Return the one that came furthest and is whole, or None."""
        for name in reversed(self._names()):
            content = self._store.files.read(name.path)
            if content is None:
                continue  # its writer has come further meanwhile, or has finished
            if sha256(content.data) != name.sha256:
                self._put_aside(name.path, "does not match its digest", content)
                continue
            self._loaded = name.path
            artifact, self.spent = _opened(content.data)
            self._resumed(self.spent)
            return artifact
        return None

    def is_due(self) -> bool:
        """Return whether it is time for one."""
        return self._clock() >= self._due

    def save(self, arrays: Arrays, facts: Facts, *, position: int) -> None:
        """Keep one, and delete those that had not come as far.

        Args:
            arrays: Arrays by name.
            facts: What JSON can hold.
            position: How far the task has come, from 0 to 10**12 - 1.
        """
        from pipeline.store.tensors import TensorBytes  # noqa: PLC0415  # see Store.load

        started = self._clock()
        kept = CheckpointName(self._key, position, "")
        try:
            told = _as_array({"facts": facts, "seconds": self.spent + started - self._started})
            chunks = TensorBytes({**arrays, FACTS: told})
            self._store.files.publish(chunks, lambda digest: CheckpointName(self._key, position, digest).path)
            self._delete([name for name in self._names() if name < kept])
        except StoreError as error:
            self._store.on_damage(f"a checkpoint could not be kept, and the task goes on: {error}")
        now = self._clock()
        self._due = now + max(self._seconds, (now - started) * (1 / SHARE - 1))

    def discard(self, why: str) -> None:
        """Set aside what `load` returned.

        Args:
            why: What is wrong with it, as the end of a sentence.
        """
        self.spent = 0.0
        self._resumed(0.0)
        content = self._store.files.read(self._loaded)
        if content is not None:
            self._put_aside(self._loaded, why, content)

    def clear(self) -> None:
        """Delete all: the result is there, or is to be made from the beginning."""
        try:
            self._delete(self._names())
        except StoreError as error:
            self._store.on_damage(f"checkpoints that nobody needs could not be deleted: {error}")

    def _names(self) -> list[CheckpointName]:
        found = map(CheckpointName.parse, self._store.files.names(CHECKPOINTS))
        return sorted(name for name in found if name is not None and name.key == self._key)

    def _delete(self, names: list[CheckpointName]) -> None:
        for name in names:
            self._store.files.delete(name.path)

    def _put_aside(self, path: str, why: str, content: Content) -> None:
        aside = self._store.files.set_aside(path, why, content.version)
        if aside is not None:
            self._store.on_damage(
                f"the checkpoint {self._store.location}/{path} {why}; it is now {aside}, and the task goes on from an"
                " earlier one, or from its beginning"
            )


def _as_array(facts: Facts) -> "NDArray[np.uint8]":
    import numpy as np  # noqa: PLC0415  # a run that reuses all needs none of it

    return np.frombuffer(canonical(plain(facts)), dtype=np.uint8)


def _opened(data: bytes) -> tuple[Artifact, float]:
    """Return what is in a checkpoint, and the seconds that went into it."""
    from pipeline.store.tensors import MappedArrays  # noqa: PLC0415  # see Store.load

    arrays = MappedArrays(lambda: data)
    told = json.loads(arrays[FACTS].tobytes())
    return Artifact({name: arrays[name] for name in arrays if name != FACTS}, told["facts"]), told["seconds"]
