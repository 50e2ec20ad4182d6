"""What takes the room in a store, and on whose account."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.store.catalog import Catalog, objects_of
from pipeline.store.checkpoints import CHECKPOINTS
from pipeline.store.manifest import Manifest, manifest_path, object_path
from pipeline.store.store import Store


@dataclass(frozen=True)
class StageUse:
    """What the results of one stage take.

    Attributes:
        results: How many there are.
        bytes: Of their objects; those of several stages count for each.
    """

    results: int
    bytes: int


@dataclass(frozen=True)
class RunUse:
    """What the results that one run names take.

    Attributes:
        created: When it was recorded, ISO 8601 in UTC; None of one that has not ended.
        results: How many of them are there.
        bytes: Of their objects; those of several runs count for each.
        only: Of the objects that no other run names.
    """

    created: str | None
    results: int
    bytes: int
    only: int


@dataclass(frozen=True)
class Usage:
    """What takes the room in a store.

    Attributes:
        bytes: Of all files.
        objects: Of all objects.
        unnamed: Of the objects that no result names.
        aside: Of what was set aside.
        checkpoints: Of what trainings in progress have kept.
        stages: By stage.
        runs: By run, recorded or in progress.
    """

    bytes: int
    objects: int
    unnamed: int
    aside: int
    checkpoints: int
    stages: Mapping[str, StageUse]
    runs: Mapping[str, RunUse]


def usage(store: Store) -> Usage:
    """Return what takes the room in a store.

    Raises:
        StoreError: It cannot be read, or the record or claim of a run is damaged.
    """
    catalog = Catalog(store)
    files = {path: version.bytes for path, version in store.files.listing("").items()}
    objects = {path: size for path, size in files.items() if path.startswith("objects/")}
    found = catalog.manifests()
    named = objects_of(found)
    manifests = {path: manifest for path, (manifest, _) in found.items()}
    return Usage(
        sum(files.values()),
        sum(objects.values()),
        sum(size for path, size in objects.items() if path not in named),
        sum(size for path, size in files.items() if path.startswith("aside/")),
        sum(size for path, size in files.items() if path.startswith(f"{CHECKPOINTS}/")),
        _stages(manifests.values()),
        _runs(catalog, manifests),
    )


def _stages(manifests: Iterable[Manifest]) -> dict[str, StageUse]:
    stages: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        stages.setdefault(str(manifest.recipe.get("stage", "?")), []).append(manifest)
    return {name: StageUse(len(kept), sum(_sizes(kept).values())) for name, kept in stages.items()}


def _runs(catalog: Catalog, manifests: Mapping[str, Manifest]) -> dict[str, RunUse]:
    """Return what each run uses; the keys of one that has ended are those of its record."""
    claims = {claim.name: (None, claim.keys) for claim, _ in catalog.claims().values()}
    runs = claims | {run.name: (run.created, run.keys) for run, _ in catalog.runs().values()}
    sizes: dict[str, dict[str, int]] = {}
    counts: dict[str, int] = {}
    for name, (_, keys) in runs.items():
        kept = [manifests[path] for path in map(manifest_path, set(keys.values())) if path in manifests]
        sizes[name], counts[name] = _sizes(kept), len(kept)
    users = Counter(path for paths in sizes.values() for path in paths)
    return {
        name: RunUse(
            created,
            counts[name],
            sum(sizes[name].values()),
            sum(size for path, size in sizes[name].items() if users[path] == 1),
        )
        for name, (created, _) in runs.items()
    }


def _sizes(manifests: Iterable[Manifest]) -> dict[str, int]:
    return {object_path(item.sha256): item.bytes for manifest in manifests for item in manifest.objects}
