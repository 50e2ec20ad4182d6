import pytest

from pipeline.errors import StageError
from pipeline.faults import Faults
from pipeline.stage import Task


def test_without_a_fault_there_is_nothing_to_raise() -> None:
    faults = Faults(())
    faults.check()
    assert faults.stages == set()


def test_equal_faults_are_told_once() -> None:
    faults = Faults(())
    told = {"a": "no memory", "b": "no disk", "c": "no memory"}
    assert not any(faults.add(Task("parts", name), fault, has_others=True) for name, fault in told.items())
    assert faults.stages == {"parts"}
    with pytest.raises(StageError, match=r"^parts\[a\], parts\[c\]: no memory\nparts\[b\]: no disk$"):
        faults.check()


def test_task_is_dropped_while_its_stage_has_another() -> None:
    faults = Faults({"parts"})
    assert faults.add(Task("parts", "a"), "no memory\nat all", has_others=True)
    faults.check()
    assert not faults.add(Task("parts", "b"), "no disk", has_others=False)
    assert not faults.add(Task("total"), "no sum", has_others=True)
    assert faults.dropped == {"parts[a]": "no memory\nat all"}
    why = "it cannot be dropped as parts[a] (no memory) was: what follows needs one of parts at least"
    assert faults.failed == {"parts[b]": f"no disk; {why}", "total": "no sum"}
