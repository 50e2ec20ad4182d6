"""What the precision `auto` means."""

import pytest

from stages.parameters import (
    DataParameters,
    Parameters,
    SpecialistsParameters,
    StudentParameters,
    TeacherParameters,
    resolve_precision,
    resolved,
)

DATA = DataParameters(source="sklearn:digits")


@pytest.mark.parametrize(
    ("flags", "devices", "precision"),
    [
        ("fpu avx512_bf16 amx_bf16 amx_tile", 0, "bf16"),
        ("fpu avx512_bf16 amx_tile", 0, "fp32"),
        ("fpu", 1, "bf16"),
        (None, None, "fp32"),
    ],
)
def test_resolve_precision_looks_at_the_hardware(tmp_path, flags, devices, precision):
    cpuinfo, gpus = tmp_path / "cpuinfo", tmp_path / "gpus"
    if flags is not None:
        cpuinfo.write_text(f"model name\t: \u20ac\nflags\t\t: {flags}\n", encoding="utf-8")
        gpus.mkdir()
        for device in range(devices):
            (gpus / str(device)).mkdir()
    assert resolve_precision("auto", str(cpuinfo), str(gpus)) == precision


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resolve_precision_leaves_a_choice_alone(tmp_path, precision):
    assert resolve_precision(precision, str(tmp_path / "none"), str(tmp_path / "none")) == precision


def test_resolved_replaces_auto_alone():
    parameters = Parameters(
        data=DATA,
        generalist=TeacherParameters(precision="auto"),
        specialists=SpecialistsParameters(precision="fp32"),
        student=StudentParameters(precision="auto", epochs=3),
    )
    there = resolved(parameters, "bf16")
    assert (there.generalist.precision, there.specialists.precision) == ("bf16", "fp32")
    assert there.student == StudentParameters(precision="bf16", epochs=3)
    assert resolved(parameters).student.precision == resolve_precision("auto")
    assert resolved(there) == there
