"""Where the tasks of a run are done, and what each reserves there: the `ray` section of the config."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.errors import Fault, Location, did_you_mean
from pipeline.executor.cpus import available_cpus
from pipeline.stage import Stage

Amount = Annotated[float, Field(gt=0)]

GIB = 2**30
_WORDS = ("local", "inline", "auto")
_PREDEFINED = {"CPU": "cpus", "GPU": "gpus", "memory": "memory"}


def _address(value: str) -> str:
    host, _, port = value.removeprefix("ray://").rpartition(":")
    if value in _WORDS or (value.startswith("ray://") and host and port.isdecimal()):
        return value
    hint = did_you_mean(value, _WORDS)
    raise ValueError(f"must be local, inline, auto or ray://HOST:PORT; got '{value}'{hint}")


def _share(value: float) -> float:
    if value > 1 and not value.is_integer():
        raise ValueError(f"must be a share of one GPU, or whole GPUs; got {value:g}")
    return value


def _own_names(value: dict[str, float]) -> dict[str, float]:
    for name in value:
        if name in _PREDEFINED:
            raise ValueError(f"must name resources of your own; got {name}; did you mean '{_PREDEFINED[name]}'?")
    return value


class Section(BaseModel):
    """The base of this section and its parts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Reserved(Section):
    """What a task of one stage, or each of its workers, reserves on a node. It changes no result."""

    cpus: float | None = Field(
        default=None, ge=0, description="CPUs; by default as many as the task has threads, and never fewer."
    )
    gpus: Annotated[float, AfterValidator(_share)] | None = Field(
        default=None,
        ge=0,
        description="GPUs, such as 0.25, where four tasks share one; by default the stage's share, and a whole one for "
        "each of several workers.",
    )
    memory: float | None = Field(default=None, gt=0, description="Memory, in GiB; by default none is reserved.")
    custom: Annotated[dict[str, Amount], AfterValidator(_own_names)] = Field(
        default={}, description="Resources that nodes were started with, such as {a100: 1}."
    )


class WaitFor(Section):
    """What a cluster will have once it has started more nodes."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Amount] = Field(init=False)

    seconds: float = Field(gt=0, description="How long to wait for it before the run is refused.")

    @property
    def resources(self) -> dict[str, float]:
        """What the whole cluster must have, by Ray's names, such as GPU."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.resources:
            raise ValueError("must name what to wait for, such as {GPU: 4, seconds: 600}; got seconds alone")
        return self


class RayOptions(Section):
    """Where the tasks run."""

    address: Annotated[str, AfterValidator(_address)] = Field(
        default="local",
        description="`local`: a Ray of this run's own on this machine; `inline`: in this process, one by one; `auto`: "
        "the cluster of this machine, or that of RAY_ADDRESS; `ray://HOST:PORT`: a cluster, from outside.",
    )
    cpus: int | None = Field(
        default=None, ge=1, description="CPUs that a local Ray may use; by default all of this process."
    )
    resources: dict[str, Reserved] = Field(
        default={},
        description="By stage, what each of its tasks reserves, such as {specialist: {gpus: 0.25}}; of a task that "
        "several workers do, each of these. A fold reserves what is said of generalist, refit-NAME what is said of "
        "NAME, unless something is said of it.",
    )
    wait_for: WaitFor | None = Field(
        default=None,
        description="What nodes that are still to come will bring, such as {GPU: 4, seconds: 600}: a run that needs it "
        "waits for so long.",
    )

    @property
    def is_joined(self) -> bool:
        """Whether the tasks run in a cluster that is there already."""
        return self.address not in {"local", "inline"}


@dataclass(frozen=True)
class Demand:
    """What one task reserves on a node.

    Attributes:
        cpus: CPUs.
        gpus: GPUs.
        memory: Bytes; 0 reserves none.
        custom: Other resources, by name.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0
    custom: Mapping[str, float] = field(default_factory=dict)

    @property
    def amounts(self) -> dict[str, float]:
        """What is reserved, by Ray's names."""
        amounts = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory), **self.custom}
        return {name: amount for name, amount in amounts.items() if amount}


def demand(options: RayOptions, stage: Stage, threads: int, *, has_gpus: bool, workers: int = 1) -> Demand:
    """Return what a task reserves, or each of its workers.

    Args:
        options: Where the tasks run.
        stage: Its stage.
        threads: The CPU threads of each.
        has_gpus: Whether there are GPUs; without, a stage's default share of one is nothing.
        workers: How many workers do it together. By default each of several has a GPU of its own, where the stage
            wants any: two on one would not be faster than one.
    """
    wanted = _reserved(options, stage)
    share = math.ceil(stage.gpu) if workers > 1 else stage.gpu
    gpus = wanted.gpus if wanted.gpus is not None else share if has_gpus else 0.0
    memory = math.ceil((wanted.memory or 0) * GIB)
    return Demand(threads if wanted.cpus is None else wanted.cpus, gpus, memory, wanted.custom)


def _reserved(options: RayOptions, stage: Stage) -> Reserved:
    """Return what is said of a stage, or else of its like."""
    return options.resources.get(stage.name) or options.resources.get(stage.like) or Reserved()


Wanted = Mapping[Location, tuple[Sequence[str], int]]
"""By config path, stages and how much of something their tasks want."""


def by_stage(wanted: Wanted) -> dict[str, int]:
    """Return by stage how much of something its tasks want."""
    return {stage: n for stages, n in wanted.values() for stage in stages}


def check_options(options: RayOptions, stages: Sequence[Stage], threads: Wanted, workers: Wanted) -> list[Fault]:
    """Check what the schema cannot know: the stages, their threads and workers, and what this machine has.

    Args:
        options: Where the tasks run.
        stages: All stages of the run.
        threads: The threads that tasks want.
        workers: The workers that do one task together.

    Returns:
        Location in the config and message of every fault.
    """
    wanted = by_stage(threads)
    faults = _misplaced(options)
    for name, reserved in options.resources.items():
        faults += _faults_of(options, name, reserved, [stage.name for stage in stages if stage.kept], wanted)
    if options.address == "local":
        limit = options.cpus or available_cpus()
        faults += [
            (path, f"must be at most {limit}, the CPUs of the local Ray; got {n}")
            for path, (_, n) in threads.items()
            if n > limit
        ]
    named = {stage.name: stage for stage in stages}
    for path, (names, n) in workers.items():
        told = [message for name in names if n > 1 for message in _too_many(options, named[name], n, wanted)]
        faults += [(path, message) for message in dict.fromkeys(told)]
    return faults


def _too_many(options: RayOptions, stage: Stage, workers: int, threads: Mapping[str, int]) -> list[str]:
    """Return what is wrong with several workers of a stage's tasks."""
    if options.address == "inline":
        return [f"must be 1 with ray.address inline, which has one process; got {workers}; set it to local"]
    limit = options.cpus or available_cpus()
    reserved = _reserved(options, stage).cpus
    each = threads.get(stage.name, 1) if reserved is None else reserved
    # That not even one fits is told of what it takes.
    if options.address == "local" and each <= limit < workers * each:
        rule = f"must be at most {int(limit // each)}, for the local Ray has {limit} CPUs and each takes {each:g}"
        return [f"{rule}; got {workers}"]
    return []


def _misplaced(options: RayOptions) -> list[Fault]:
    faults: list[Fault] = []
    if options.is_joined and options.cpus is not None:
        rule = f"be left out with ray.address {options.address}, whose nodes say what they have"
        faults.append((("ray", "cpus"), f"must {rule}; got {options.cpus}"))
    if not options.is_joined and options.wait_for is not None:
        faults.append((("ray", "wait_for"), f"must go with ray.address auto or ray://HOST:PORT; got {options.address}"))
    return faults


def _faults_of(
    options: RayOptions, stage: str, reserved: Reserved, known: Sequence[str], threads: Mapping[str, int]
) -> list[Fault]:
    place = ("ray", "resources", stage)
    if stage not in known:
        return [(place, f"must be one of {', '.join(known)}; got '{stage}'{did_you_mean(stage, known)}")]
    faults: list[Fault] = []
    cpus, least = reserved.cpus, threads.get(stage, 1)
    if cpus is not None and least > max(1, cpus):  # a share of a CPU is enough for what is done on a GPU
        faults.append(((*place, "cpus"), f"must be at least {least}, the threads of the stage; got {cpus:g}"))
    if options.address == "local":
        limit = options.cpus or available_cpus()
        if cpus is not None and cpus > limit:
            faults.append(((*place, "cpus"), f"must be at most {limit}, the CPUs of the local Ray; got {cpus:g}"))
        if reserved.custom:
            names = ", ".join(reserved.custom)
            faults.append(((*place, "custom"), f"must be left out with ray.address local, which has none; got {names}"))
    return faults
