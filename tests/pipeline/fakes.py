"""Stages without learning: `base` makes numbers, `parts` adds to each, `total` sums, `page` tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from pipeline.stage import Artifact, Facts, RunSummary, Stage, Task, Work

STAGES = (
    Stage("base", "tests.pipeline.fakes:make_base", "tests.pipeline.fakes:base"),
    Stage("parts", "tests.pipeline.fakes:make_part", "tests.pipeline.fakes:parts", decided_by=("base",)),
    Stage("total", "tests.pipeline.fakes:make_total", "tests.pipeline.fakes:total", decided_by=("base",)),
    Stage("page", "tests.pipeline.fakes:write_page", "tests.pipeline.fakes:page", kept=False),
)


class Parameters(BaseModel):
    numbers: tuple[int, ...] = (1, 2, 3)
    add: int = 10
    fail_on: int | None = None


@dataclass
class Calls:
    """What was really computed in this process."""

    made: list[str]


CALLS = Calls([])


def base(parameters: Parameters, known: Mapping[str, Facts]) -> list[Task]:
    return [Task("base", parameters={"numbers": parameters.numbers})]


def parts(parameters: Parameters, known: Mapping[str, Facts]) -> list[Task]:
    return [
        Task(
            "parts",
            str(number),
            inputs={"base": "base"},
            parameters={"number": number, "parts.add": parameters.add, "fail": number == parameters.fail_on},
        )
        for number in known["base"]["numbers"]
    ]


def total(parameters: Parameters, known: Mapping[str, Facts]) -> list[Task]:
    return [Task("total", inputs={"parts": [f"parts[{number}]" for number in known["base"]["numbers"]]})]


def page(parameters: Parameters, known: Mapping[str, Facts]) -> list[Task]:
    return [Task("page", inputs={"total": "total"})]


def make_base(*, numbers: Sequence[int], work: Work) -> Artifact:
    CALLS.made.append("base")
    return Artifact({"numbers": np.array(numbers)}, {"numbers": list(numbers)})


def make_part(*, base: Artifact, number: int, add: int, fail: bool, work: Work) -> Artifact:
    CALLS.made.append(f"parts[{number}]")
    if fail:
        msg = f"the number must not be {number}"
        raise ValueError(msg)
    work.progress({"epoch": 1, "epochs": 1})
    return Artifact({"sum": base.arrays["numbers"].sum(keepdims=True) * number + add}, {"seed": work.seed})


def make_total(*, parts: Sequence[Artifact], work: Work) -> Artifact:
    CALLS.made.append("total")
    return Artifact(facts={"total": int(sum(part.arrays["sum"].item() for part in parts))})


def write_page(*, total: Artifact, run: RunSummary) -> dict[str, bytes]:
    return {"page.txt": f"{total.facts['total']} reused {len(run.reused)}".encode()}
