"""What a run knows of itself, from the manifests of its results."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.stage import Making, RunSummary, TaskSummary, stage_of
from pipeline.store import Manifest


def summarise(
    name: str,
    seed: int,
    config: str,
    *,
    stages: Sequence[str],
    results: Mapping[str, Manifest],
    made: Mapping[str, Making],
) -> RunSummary:
    """Return the summary of a run.

    Args:
        name: Its name in the config.
        seed: Its seed.
        config: The resolved config, as YAML.
        stages: The names of the stages, in order.
        results: The manifests of its results, by task id.
        made: How this run made those of them that were not there, by task id.
    """
    ids: dict[str, str] = {}
    for task_id, manifest in results.items():
        ids.setdefault(manifest.digest, task_id)
    ordered = sorted(results, key=lambda task_id: stages.index(stage_of(task_id)))
    return RunSummary(
        name, seed, config, [_task(task, results[task], ids, made.get(task, Making())) for task in ordered]
    )


def _task(task_id: str, manifest: Manifest, ids: Mapping[str, str], making: Making) -> TaskSummary:
    return TaskSummary(
        task_id,
        manifest.key,
        manifest.digest,
        tuple(ids[digest] for digest in _inputs(manifest) if digest in ids),
        manifest.seconds,
        sum(item.bytes for item in manifest.objects),
        manifest.created,
        making.ended,
        making.prepared,
    )


def _inputs(manifest: Manifest) -> Iterator[str]:
    for digests in manifest.recipe["inputs"].values():
        yield from [digests] if isinstance(digests, str) else digests
