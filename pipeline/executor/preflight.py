"""What must hold of every node before any work begins. The judgements are plain functions of plain facts."""

import hashlib
import importlib.util
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.executor.contract import Needs
from pipeline.executor.nodes import Node
from pipeline.executor.options import GIB, RayOptions, demand
from pipeline.store.reach import answer_note


@dataclass(frozen=True)
class Facts:
    """What is found on one machine.

    Attributes:
        versions: Of Python and of the distributions that compute, without what tells builds apart; empty where missing.
        code: The digest of each module's source; empty where it is missing.
        answer: The path of the note left in the store.
        fault: Why there is none.
    """

    versions: Mapping[str, str]
    code: Mapping[str, str]
    answer: str = ""
    fault: str = ""


def look_around(needs: Needs, note: str = "") -> Facts:
    """Return what is found on this machine.

    Args:
        needs: What the run needs.
        note: The path of a note in the store, to be answered; none where that is not asked.
    """
    packages = sorted({"ray", *needs.packages, *(name for stage in needs.stages for name in stage.packages)})
    versions = {"Python": ".".join(platform.python_version_tuple()[:2])} | {name: _version(name) for name in packages}
    code = {name: digest_of(name) for name in needs.modules}
    try:
        return Facts(versions, code, answer=answer_note(needs.store, note) if note else "")
    except PipelineError as error:
        return Facts(versions, code, fault=str(error))


def faults_of(name: str, there: Facts, here: Facts) -> list[str]:
    """Return what is wrong with a node.

    Args:
        name: What people call it.
        there: What was found on it.
        here: What was found on the driver's machine.

    Returns:
        A line for every fault, with what to do about it.
    """
    faults = [
        f"node {name}: must have {package} {version}, as here; got {there.versions.get(package) or 'none'}:"
        " install the same there"
        for package, version in here.versions.items()
        if there.versions.get(package) != version
    ]
    faults += [
        f"node {name}: must import the same {module} as here; got {'another' if there.code.get(module) else 'none'}:"
        " take other copies off its PYTHONPATH, or install the same there"
        for module, digest in here.code.items()
        if there.code.get(module) != digest
    ]
    if there.fault:
        faults.append(f"node {name}: {there.fault}: name a store that all nodes share, such as s3://bucket/prefix")
    return faults


def misfits(needs: Needs, options: RayOptions, nodes: Iterable[Node]) -> list[str]:
    """Return a line for every stage whose tasks no node could ever do: Ray would wait for ever.

    Args:
        needs: What the run needs.
        options: What its tasks reserve.
        nodes: The nodes that are there.
    """
    known = list(nodes)
    has_gpus = any(node.amounts.get("GPU", 0.0) for node in known)
    faults: dict[str, list[str]] = {}
    for stage in needs.stages:
        workers = needs.workers.get(stage.name, 1)
        wanted = demand(options, stage, needs.threads.get(stage.name, 1), has_gpus=has_gpus, workers=workers).amounts
        if sum(node.holds(wanted) for node in known) < workers:
            have = "; ".join(f"{node.name} {_written(node.amounts, wanted)}" for node in known)
            who = (
                "one node"
                if workers == 1
                else f"all nodes together must have room for {workers} workers, of which each"
            )
            faults.setdefault(f"{who} must have {_written(wanted, wanted)}; got {have}", []).append(stage.name)
    advice = "ask for less in ray.resources, add such a node, or declare it in ray.wait_for"
    return [f"{', '.join(names)}: {fault}: {advice}" for fault, names in faults.items()]


def missing(wanted: Mapping[str, float], total: Mapping[str, float]) -> dict[str, float]:
    """Return what of `ray.wait_for` a cluster does not have yet; memory is in GiB there, and in bytes in the total."""
    have = {name: amount / GIB if name == "memory" else amount for name, amount in total.items()}
    return {name: amount for name, amount in wanted.items() if have.get(name, 0.0) < amount}


def bundles(wanted: Mapping[str, float]) -> list[dict[str, float]]:
    """Return `ray.wait_for` in pieces that fit on nodes of any size, for what starts nodes on demand."""
    return [
        {name: float(GIB) if name == "memory" else 1.0}
        for name, amount in wanted.items()
        for _ in range(math.ceil(amount))
    ]


def digest_of(module: str) -> str:
    """Return the SHA-256 of the source of a module or package; empty if there is none."""
    path = source_of(module)
    if path is None:
        return ""
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(path.parent).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def source_of(module: str) -> Path | None:
    """Return the file of a module, or the folder of a package; None if there is none. Imports nothing."""
    spec = importlib.util.find_spec(module)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.has_location and spec.origin else None


def _version(distribution: str) -> str:
    try:
        # A build for the CPU and one for a GPU are one version.
        return metadata.version(distribution).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ""


def _written(amounts: Mapping[str, float], names: Sequence[str] | Mapping[str, float]) -> str:
    """Return amounts as people write them, such as `1 CPU, 0.25 GPU, 4 GiB of memory`."""
    words = []
    for name in names:
        amount = amounts.get(name, 0.0)
        words.append(f"{amount / GIB:.3g} GiB of memory" if name == "memory" else f"{amount:g} {name}")
    return ", ".join(words)
