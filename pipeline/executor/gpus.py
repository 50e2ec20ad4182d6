"""Whether tasks will find GPUs, told without Ray or torch: a plan starts neither."""

import os
from pathlib import Path

from pipeline.executor.options import RayOptions

_DEVICES = ("nvidia[0-9]*", "dxg", "kfd")
"""Files of GPUs of NVIDIA, the same under WSL, and AMD's."""
_NONE = {"", "-1", "NoDevFiles"}
"""Values of CUDA_VISIBLE_DEVICES that hide every GPU."""


def expects_gpus(options: RayOptions, devices: Path = Path("/dev"), visible: str | None = None) -> bool:
    """Return whether a task is given its stage's default share of a GPU.

    Args:
        options: Where the tasks run.
        devices: Folder of the files of devices.
        visible: The GPUs that programs are to see; None for what the environment says.

    Returns:
        Of a local Ray whether this machine has a GPU that is not hidden. Of a cluster True: that is seen when it is
        joined. In this process nothing is reserved.
    """
    if options.is_joined:
        return True
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
    is_hidden = visible is not None and visible.strip() in _NONE
    return options.address == "local" and not is_hidden and any(any(devices.glob(name)) for name in _DEVICES)
