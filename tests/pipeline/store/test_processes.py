import subprocess
import sys

import pytest

from pipeline.store.processes import STALE_SECONDS, is_abandoned, temporary_name

LONG = STALE_SECONDS + 1


def make_proc(folder, pid, state="S", start=4711):
    """Fake the part of /proc that tells of one process, with a name that is hard to parse."""
    (folder / "sys/kernel/random").mkdir(parents=True)
    (folder / "sys/kernel/random/boot_id").write_text("a-b-c\n")
    (folder / "self/ns").mkdir(parents=True)
    (folder / "self/ns/pid").symlink_to("pid:[42]")
    (folder / str(pid)).mkdir()
    fields = " ".join(map(str, range(4, 22)))
    (folder / str(pid) / "stat").write_text(f"{pid} (a ) Z b) {state} {fields} {start} 23 24\n")
    return folder


def renamed(name, **changes):
    host, space, pid, start, chance = name.split("_")
    parts = {"host": host, "space": space, "pid": pid, "start": start, "chance": chance} | changes
    return "_".join(parts.values())


def test_temporary_name_is_never_the_same():
    assert len({temporary_name() for _ in range(100)}) == 100


def test_is_abandoned_spares_living_processes_however_idle():
    assert not is_abandoned(temporary_name(), LONG)


def test_is_abandoned_knows_dead_processes_at_once():
    script = "from pipeline.store.processes import temporary_name; print(temporary_name())"
    name = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert is_abandoned(name, 0.0)


def test_is_abandoned_knows_that_pids_are_used_again():
    assert is_abandoned(renamed(temporary_name(), start="1"), 0.0)


@pytest.mark.parametrize(("state", "start", "expected"), [("S", 4711, False), ("S", 4712, True), ("Z", 4711, True)])
def test_is_abandoned_reads_the_kernels_table(tmp_path, state, start, expected):
    proc = make_proc(tmp_path, 7, state, start)
    name = renamed(temporary_name(proc), pid="7", start="4711")
    assert is_abandoned(name, 0.0, proc) is expected


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"space": "0123"}])
def test_is_abandoned_goes_by_age_for_processes_elsewhere(change):
    name = renamed(temporary_name(), **change)
    assert not is_abandoned(name, 60.0)
    assert is_abandoned(name, LONG)


def test_is_abandoned_goes_by_age_where_processes_cannot_be_looked_up(tmp_path):
    name = temporary_name(tmp_path)
    assert not is_abandoned(name, 60.0, tmp_path)
    assert is_abandoned(name, LONG, tmp_path)
