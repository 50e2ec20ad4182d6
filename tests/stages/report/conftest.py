"""The files of the tiny run."""

import json

import pytest

from pipeline.stage import Artifact, RunSummary, TaskSummary
from stages import report
from stages.given_data import Teacher

TASKS = [
    TaskSummary("data[train]", "a" * 64, "b" * 64, (), 0.1, 1000, "2026-01-01T00:00:00+00:00"),
    TaskSummary("generalist", "c" * 64, "d" * 64, ("data[train]",), 2.0, 2000, "2026-01-01T00:00:02+00:00", 2.5),
    TaskSummary("specialist[0-1]", "e" * 64, "f" * 64, ("generalist",), 1.0, 2000, "2026-01-01T00:00:03+00:00", 3.5),
    TaskSummary("specialist[2-3]", "1" * 64, "2" * 64, ("generalist",), 1.0, 2000, "2026-01-01T00:00:03+00:00", 3.6),
]
RUN = RunSummary(name="tiny", seed=3, config="name: tiny\n", tasks=TASKS)


@pytest.fixture(scope="session")
def tables(generalist_tables, specialist_tables, combined_tables):
    return [*generalist_tables, *(table for of_view in specialist_tables for table in of_view), *combined_tables]


@pytest.fixture(scope="session")
def write(dataset, test_half, generalist_net, specialist_nets, tables, students):
    """Return the function that writes a run's files for an evaluation, naming the classes as told."""

    def write(
        evaluation,
        *,
        names=None,
        subsets=([0, 1], [2, 3]),
        run=RUN,
        sweep=None,
        imports=(),
        method="confusion",
        dropped=(),
        seen=None,
    ):
        """Of `seen`, by teacher, is what given ones were trained on; all others were trained here."""
        told = {name: {"state": "given"} | ({"trained_on": on} if on else {}) for name, on in (seen or {}).items()}

        names_of = {"0-1": ("class 0", "class 1"), "2-3": ("class 2", "class 3")}
        teachers = {name: Teacher(name, names_of.get(name, ())) for name in told}

        def net(name, found):
            return Artifact(found.arrays, {**found.facts, **told.get(name, {})})

        known = dataset.facts | ({"class_names": names} if names else {})
        return report.write(
            dataset=Artifact(dataset.arrays, known),
            test=Artifact(facts=test_half.facts),
            generalist=net("generalist", generalist_net),
            subsets=Artifact(
                facts={
                    "method": method,
                    "subsets": [{"classes": classes, "mass": 0.4} for classes in subsets],
                    "cover": [1, 1, 1, 1, 0],
                }
            ),
            specialists=[net(one.facts["name"], one) for one in specialist_nets[: len(subsets) - len(dropped)]],
            targets=tables,
            students=[students[variant] for variant in evaluation.facts["variants"]],
            evaluation=evaluation,
            run=run,
            sweep=sweep,
            imports=imports,
            dropped=dropped,
            given=[teachers[name] for name in seen or ()],
        )

    return write


@pytest.fixture(scope="session")
def files(write, evaluation):
    return write(evaluation)


@pytest.fixture(scope="session")
def page(files):
    return files["report.html"].decode()


@pytest.fixture(scope="session")
def results(files):
    return json.loads(files["results.json"])
