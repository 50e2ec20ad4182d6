"""`env`: what this machine has that matters to a run; for people who ask for help, and for those who help."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.tables import print_json
from pipeline.errors import StoreError
from pipeline.stage import Json
from pipeline.store import Store
from stages.learning import hardware

DISTRIBUTION = "specialist-distillation"
PACKAGES = (
    "torch", "torchvision", "numpy", "ray", "scikit-learn", "scipy", "numba", "pydantic", "safetensors", "pillow",
    "fsspec", "s3fs", "onnx", "onnxruntime", "onnxscript", "pyarrow", "timm",
)  # fmt: skip
CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
"""Those that decide how fast networks compute, of Intel's, AMD's and Arm's processors."""
VARIABLES = ("RAY_ADDRESS", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
"""Environment variables that change what a run does or where it is fast."""


def env(store: str, *, as_json: bool) -> None:
    """Print versions, devices, the store and what Ray is told.

    Args:
        store: The location of a store; there need not be one.
        as_json: Whether to print JSON.
    """
    found = environment(store)
    if as_json:
        print_json(found)
        return
    for title, facts in found.items():
        grid = Table(box=None, pad_edge=False, show_header=False)
        grid.add_column(min_width=16)
        grid.add_column(overflow="fold")
        for name, value in facts.items():
            grid.add_row(Text(name), Text(_told(value)))
        Console().print(Text(title, style="bold"), grid)


def environment(store: str) -> dict[str, dict[str, Json]]:
    """Return what matters to a run, by kind."""
    return {
        "program": {
            DISTRIBUTION: version(),
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "system": platform.platform(),
        },
        "packages": {name: _version_of(name) for name in PACKAGES},
        "devices": _devices(),
        "store": _store(store),
        "environment": {name: os.environ.get(name) for name in VARIABLES},
    }


def version() -> str:
    """Return the version of the program."""
    return _version_of(DISTRIBUTION) or "not installed: run from its folder"


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Return which of `CPU_FEATURES` the processor has, as Linux lists them."""
    text = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.is_file() else ""
    flags = next((line for line in text.splitlines() if line.lower().startswith(("flags", "features"))), "").split()
    return [name for name in CPU_FEATURES if name in flags]


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> dict[str, Json]:
    import torch  # noqa: PLC0415  # two seconds that the other parts need not wait for

    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": hardware.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "features": cpu_features(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "CUDA": torch.version.cuda if torch.cuda.is_available() else None,
        "GPUs": [f"{gpu.name}, {gpu.total_memory / 2**30:.1f} GiB" for gpu in gpus],
    }


def _store(location: str) -> dict[str, Json]:
    try:
        if not Store.is_at(location):
            return {"location": location, "finished runs": "there is no store yet"}
        store = Store.open(location)
        return {"location": store.location, "finished runs": len(store.runs())}
    except StoreError as error:
        return {"location": location, "fault": str(error)}


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
