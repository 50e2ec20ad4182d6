"""What a figure of speed was measured on."""

import platform
from pathlib import Path


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, as Linux knows it or else Python.

    Args:
        cpuinfo: File in which Linux lists the processors.
    """
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def device() -> str:
    """Return the name of the device that networks compute on: of the GPU where there is one, or of the processor."""
    import torch  # noqa: PLC0415  # the processor's name is wanted without it

    return torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
