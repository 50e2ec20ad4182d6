"""The tasks of the soft targets: every shard of every teacher, and the combination of them."""

from itertools import product

from pipeline.stage import Facts, Task
from stages import candidates
from stages.parameters import Parameters
from stages.tasks.shared import Known, combined_name, subsets_of, view_shards, where_any
from stages.tasks.teachers import calibrations


def targets(parameters: Parameters, known: Known) -> list[Task]:
    """List the scoring of every shard of every view: by the generalist, then by each specialist where it is active."""
    tasks: list[Task] = []
    for shard, (view, rows) in view_shards(parameters, known).items():
        inputs = {"dataset": "data[train]", "view": f"views[{view}]"}
        common = {"rows": rows}
        tasks.append(
            Task("targets", f"generalist/{shard}", inputs=inputs | {"teacher": "generalist"}, parameters=common)
        )
        active = {"combine.active_classes": max(candidates.active_classes(parameters))}
        tasks.extend(
            Task(
                "targets",
                f"{name}/{shard}",
                inputs=inputs | {"teacher": f"specialist[{name}]", "generalist": f"targets[generalist/{shard}]"},
                parameters=common | active,
            )
            for name in subsets_of(known)
        )
    return tasks


def imports(parameters: Parameters, known: Known) -> list[Task]:
    """List what tells of each imported table; its content decides the recipe, wherever it is kept."""
    tables = _imports(parameters, known)
    return [
        Task(
            "import",
            name,
            parameters={"targets.imported": table["digest"]},
            settings={"name": name, "store": table["store"], "record": table["record"]},
        )
        for name, table in tables.items()
    ]


def imported(parameters: Parameters, known: Known) -> list[Task]:
    """List the shards of each imported table."""
    return [
        Task(
            "imported",
            f"{name}/{shard}",
            inputs={"table": f"import[{name}]", "view": f"views[{view}]"},
            parameters={"rows": rows},
            settings={"store": table["store"], "record": table["record"]},
        )
        for name, table in _imports(parameters, known).items()
        for shard, (view, rows) in view_shards(parameters, known).items()
    ]


def combined(parameters: Parameters, known: Known) -> list[Task]:
    """List the combination of every shard. Only a table that may lose something depends on the temperatures."""
    wanted = parameters.targets
    limits = {
        "targets.bytes_per_row": wanted.bytes_per_row,
        "targets.max_kl": wanted.max_kl,
        "temperatures": candidates.temperatures(parameters),
    }
    asked = candidates.active_classes(parameters)
    return [
        Task(
            "combined",
            combined_name(parameters, active, shard),
            inputs={
                "generalist": f"targets[generalist/{shard}]",
                "specialists": [f"targets[{name}/{shard}]" for name in subsets_of(known)],
            }
            | calibrations(parameters, known)
            | where_any("imported", [f"imported[{name}/{shard}]" for name in parameters.targets.imported]),
            parameters={"combine.divergence": parameters.combine.divergence}
            | (limits if wanted.bytes_per_row is not None else {})
            # A specialist that was asked about more rows than this combination wants is heard on its own alone.
            | ({"combine.active_classes": active} if active < asked[-1] else {}),
        )
        for active, shard in product(asked, view_shards(parameters, known))
    ]


def _imports(parameters: Parameters, known: Known) -> dict[str, Facts]:
    """Return what is known of the imported tables that the run uses, by name."""
    return {name: known["imported"][name] for name in parameters.targets.imported}
