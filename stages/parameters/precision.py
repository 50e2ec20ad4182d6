"""What the precision `auto` means: said without torch, so that a recipe can record it before anything is trained."""

from pathlib import Path
from typing import Literal, TypeVar

from stages.parameters.everything import Parameters
from stages.parameters.fields import Precision

AnyParameters = TypeVar("AnyParameters", bound=Parameters)


def resolve_precision(
    value: Precision, cpuinfo: str = "/proc/cpuinfo", gpus: str = "/proc/driver/nvidia/gpus"
) -> Literal["fp32", "bf16"]:
    """Return what `auto` means on this machine, without importing torch.

    Args:
        value: The precision wanted.
        cpuinfo: File in which Linux lists the CPU's features.
        gpus: Folder in which the NVIDIA driver lists its devices.

    Returns:
        For `auto`: `bf16` where the CPU has AMX tiles for it or there is an NVIDIA GPU, else `fp32`. Any
        other value is returned as it is.
    """
    if value != "auto":
        return value
    features, devices = Path(cpuinfo), Path(gpus)
    has_amx = features.is_file() and "amx_bf16" in features.read_text(encoding="utf-8", errors="replace").split()
    has_gpu = devices.is_dir() and any(devices.iterdir())
    return "bf16" if has_amx or has_gpu else "fp32"


def resolved(parameters: AnyParameters, auto: Literal["fp32", "bf16"] | None = None) -> AnyParameters:
    """Return the parameters with every precision `auto` replaced, so that a recipe records what was used.

    Args:
        parameters: The parameters, or a config that has them.
        auto: What `auto` means; by default what it means on this machine.
    """
    sections = {name: getattr(parameters, name) for name in ("generalist", "specialists", "student")}
    update = {
        name: section.model_copy(update={"precision": auto or resolve_precision("auto")})
        for name, section in sections.items()
        if section.precision == "auto"
    }
    return parameters.model_copy(update=update)
