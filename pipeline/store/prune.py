"""Deletes what no run of the last days names.

Nothing is locked, and runs may go on meanwhile. What they use stays because of three rules:

- What is young stays: a save puts objects first and names them in its manifest after that.
- Results that a run in progress has found or made are named by its claim. A manifest is first taken away, then claims
  and runs are read again, and it is put back if one names it by now. A run writes its claim first and looks after that
  whether the manifest is still there. So at least one of the two sees the other.
- Objects follow when their manifests are gone, in the same way: taken away, all manifests read again, and put back if
  one names them by now. A save looks for its objects after its manifest is published, and puts again what is missing.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from pipeline.store.catalog import Catalog, objects_of
from pipeline.store.checkpoints import CHECKPOINTS, CheckpointName
from pipeline.store.contents import Version
from pipeline.store.manifest import manifest_path
from pipeline.store.processes import is_abandoned
from pipeline.store.records import Claim
from pipeline.store.store import Store

_DAY = 24 * 3600 * 10**9

Listing = Mapping[str, Version]


@dataclass(frozen=True)
class Doomed:
    """What a prune deletes, each by its path, with the file that is meant.

    Attributes:
        records: Records of runs, and claims of dead ones, that are too old to count.
        manifests: Results that nothing names.
        objects: What no manifest but those names.
        aside: What was set aside long ago.
        checkpoints: Those of tasks whose results are there, and those that no task went on from for long.
        stages: How many results of each stage, and the bytes of their objects.
    """

    records: Listing
    manifests: Listing
    objects: Listing
    aside: Listing
    checkpoints: Listing
    stages: Mapping[str, tuple[int, int]]

    @property
    def bytes(self) -> int:
        """What deleting it frees."""
        return sum(version.bytes for listing in self._listings for version in listing.values())

    @property
    def _listings(self) -> tuple[Listing, ...]:
        return self.records, self.manifests, self.objects, self.aside, self.checkpoints


class Prune:
    """A prune of a store: `doomed` says what it deletes, `delete` does it.

    Args:
        store: The store.
        days: How long a run counts after its end; one in progress on this machine counts whatever its age, one on
            another machine for so long after its last result.
        grace: What was written within this many days stays.
    """

    def __init__(self, store: Store, *, days: float, grace: float) -> None:
        self._files = store.files
        self._catalog = Catalog(store)
        # By the clock that stamps the files, which need not be ours.
        self._now = store.files.clock()
        self._horizon = self._now - int(days * _DAY)
        self._young = self._now - int(grace * _DAY)

    def doomed(self) -> Doomed:
        """Return what nothing names, and change nothing.

        Raises:
            StoreError: The store cannot be read, or the record or claim of a run is damaged, so that it is not known
                what that run names.
        """
        # In this order: what is new after its turn is not in the listing, what is named before its turn is seen.
        objects = self._files.listing("objects")
        manifests = self._catalog.manifests()
        named = self._named_manifests()
        gone = {path: found for path, found in manifests.items() if path not in named and self._is_old(found[1])}
        staying = objects_of({path: found for path, found in manifests.items() if path not in gone})
        stages: dict[str, tuple[int, int]] = {}
        for manifest, _ in gone.values():
            stage = str(manifest.recipe.get("stage", "?"))
            n, size = stages.get(stage, (0, 0))
            stages[stage] = n + 1, size + sum(item.bytes for item in manifest.objects)
        return Doomed(
            self._forgotten(),
            {path: version for path, (_, version) in gone.items()},
            {path: version for path, version in objects.items() if path not in staying and self._is_old(version)},
            {path: version for path, version in self._files.listing("aside").items() if self._is_forgotten(version)},
            self._spent_checkpoints(set(manifests)),
            stages,
        )

    def delete(self, doomed: Doomed) -> list[str]:
        """Delete what is doomed, but for what somebody has begun to use meanwhile.

        Stopped at any point it leaves a store in which everything is there that was named when it began. What a run has
        begun to use since is given back; killed before that, it may be gone, and the run makes it again.

        Returns:
            The paths of what was deleted.

        Raises:
            StoreError: Something cannot be read or deleted.
        """
        loose = {**doomed.records, **doomed.aside, **doomed.checkpoints}
        deleted = [path for path, version in loose.items() if self._drop(path, version)]
        deleted += self._take_away(doomed.manifests, self._named_manifests)
        return deleted + self._take_away(doomed.objects, self._named_objects)

    def _named_manifests(self) -> set[str]:
        # A run that ends is recorded before it gives its claim up: whoever reads in this order sees one of the two.
        claims, runs = self._catalog.claims(), self._catalog.runs()
        keys = [claim.keys for claim, version in claims.values() if self._holds(claim, version)]
        keys += [run.keys for run, version in runs.values() if self._counts(version)]
        return {manifest_path(key) for by_task in keys for key in by_task.values()}

    def _named_objects(self) -> set[str]:
        return set(objects_of(self._catalog.manifests()))

    def _forgotten(self) -> dict[str, Version]:
        claims, runs = self._catalog.claims(), self._catalog.runs()
        dead = {path: version for path, (claim, version) in claims.items() if not self._holds(claim, version)}
        return dead | {path: version for path, (_, version) in runs.items() if not self._counts(version)}

    def _spent_checkpoints(self, manifests: Collection[str]) -> dict[str, Version]:
        # Deleting one that a task would still go on from loses work, and nothing else.
        found = self._files.listing(CHECKPOINTS)
        names = {path: CheckpointName.parse(path) for path in found}
        done = {path for path, name in names.items() if name is not None and manifest_path(name.key) in manifests}
        return {
            path: version
            for path, version in found.items()
            if (path in done and self._is_old(version)) or self._is_forgotten(version)
        }

    def _holds(self, claim: Claim, version: Version) -> bool:
        idle = (self._now - version.modified) / 1e9
        return not self._is_forgotten(version) or not is_abandoned(claim.process, idle)

    def _counts(self, version: Version) -> bool:
        """Return whether a run counts, by its record, which is a file like others: what is young stays."""
        return not (self._is_forgotten(version) and self._is_old(version))

    def _is_old(self, version: Version) -> bool:
        return version.modified < self._young

    def _is_forgotten(self, version: Version) -> bool:
        return version.modified < self._horizon

    def _drop(self, path: str, version: Version) -> bool:
        same = self._files.stat(path) == version
        if same:
            self._files.delete(path)
        return same

    def _take_away(self, doomed: Listing, named: Callable[[], set[str]]) -> list[str]:
        """Take files away, put back those that are named by then, and delete the others."""
        taken: dict[str, str] = {}
        spared = named()
        try:
            for path, version in doomed.items():
                where = None if path in spared else self._files.withdraw(path, version)
                if where is not None:
                    taken[path] = where
        finally:
            spared = named() if taken else spared
            for path, where in taken.items():
                if path in spared:
                    self._files.restore(where, path)
                else:
                    self._files.delete(where)
        return [path for path in taken if path not in spared]
