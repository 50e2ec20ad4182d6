"""Who works on what, so that runs that share a store do each piece of work once.

It only saves work: a claim that is lost, or taken over too early, costs a second computation, and the store keeps the
first result of the two.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from threading import Event, Thread

from pipeline.errors import StoreError
from pipeline.store.contents import Version
from pipeline.store.places import Files
from pipeline.store.processes import is_abandoned, temporary_name
from pipeline.store.records import seal, unseal

WORKING = "working"
"""Folder of the claims."""

HEARTBEAT_SECONDS = 15.0
"""How often whoever works says that it still does."""

EXPIRES_SECONDS = 60.0
"""After so long without that, somebody on another host is taken for dead; on the same host it is known at once."""

_ATTEMPTS = 3
"""How often a claim is tried again after one that stood in its way was gone, or was a dead process's."""


@dataclass(frozen=True)
class Worker:
    """Who works on something.

    Attributes:
        run: The name of its run.
        process: Which process it is; what `temporary_name` returned to it.
    """

    run: str
    process: str


class WorkClaims:
    """The claims of one run, and what it has seen of others'.

    Args:
        files: The store's.
        run: A name that no other run has.
        heartbeat: Seconds between two signs of life.
        clock: Seconds, from anywhere.
    """

    def __init__(
        self,
        files: Files,
        run: str,
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._worker = Worker(run, temporary_name())
        self._heartbeat = heartbeat
        self._clock = clock
        self._seen: dict[str, tuple[Version, float]] = {}

    @contextmanager
    def working(self, key: str) -> Iterator[str]:
        """Claim the work on a recipe while the block runs.

        Args:
            key: The SHA-256 of the recipe.

        Yields:
            The name of the run that works on it already; empty where the claim is ours, and the work to be done.

        Raises:
            StoreError: The store cannot be written.
        """
        other = self._take(key)
        if other:
            yield other
            return
        done = Event()
        beating = Thread(target=self._beat, args=(key, done), daemon=True)
        beating.start()
        try:
            yield ""
        finally:
            done.set()
            beating.join()
            with suppress(StoreError):  # whoever needs it will see that this process is dead
                self._release(key)

    def holder(self, key: str) -> str:
        """Return the name of the run that works on a recipe; empty where none does, or none that lives.

        Of a process on another host that is known when this has been asked for `EXPIRES_SECONDS`: clocks differ, so
        what counts is for how long the claim has stayed as it is.
        """
        found = self._read(key)
        if found is None:
            self._seen.pop(key, None)
            return ""
        worker, version = found
        seen, since = self._seen.setdefault(key, (version, self._clock()))
        if seen != version:
            self._seen[key] = (version, self._clock())
        elif worker is None or self._clock() - since > EXPIRES_SECONDS:
            self._remove(key, version)
            return ""
        return "" if worker is None or _is_dead(worker) else worker.run

    def sweep(self) -> list[str]:
        """Delete the claims of dead processes, and return their paths."""
        swept: list[str] = []
        for path, version in self._files.listing(WORKING).items():
            key = path.removeprefix(f"{WORKING}/").removesuffix(".json")
            found, idle = self._read(key), time.time() - version.modified / 1e9
            if found is not None and (found[0] is None or is_abandoned(found[0].process, idle)):
                self._remove(key, found[1])
                swept.append(path)
        return swept

    def _take(self, key: str) -> str:
        """Claim a recipe, or return the name of the run that has."""
        for _ in range(_ATTEMPTS):
            if self._files.publish([seal(asdict(self._worker))], lambda _: work_path(key)).won:
                return ""
            found = self._read(key)
            if found is None:
                continue
            worker, version = found
            # Of our own run it is an earlier attempt, whose process is believed dead.
            if worker is not None and worker.run != self._worker.run and not _is_dead(worker):
                return worker.run
            self._remove(key, version)
        return ""

    def _beat(self, key: str, done: Event) -> None:
        while not done.wait(self._heartbeat):
            with suppress(StoreError):
                self._files.freshen(work_path(key))

    def _release(self, key: str) -> None:
        found = self._read(key)
        if found is not None and found[0] == self._worker:
            self._remove(key, found[1])

    def _read(self, key: str) -> tuple[Worker | None, Version] | None:
        """Return who claims a recipe, None for a damaged claim, and which file says so; None where there is none."""
        content = self._files.read(work_path(key))
        if content is None:
            return None
        try:
            return Worker(**unseal(content.data)), content.version
        except (ValueError, TypeError):
            return None, content.version

    def _remove(self, key: str, version: Version) -> None:
        """Delete exactly this claim: another one that took its place meanwhile stays."""
        where = self._files.withdraw(work_path(key), version)
        if where is not None:
            self._files.delete(where)


def work_path(key: str) -> str:
    """Return the path of the claim on the work on a recipe."""
    return f"{WORKING}/{key}.json"


def _is_dead(worker: Worker) -> bool:
    """Return whether a process is known to be dead, which it can be on this host alone."""
    return is_abandoned(worker.process, idle_seconds=0.0)
