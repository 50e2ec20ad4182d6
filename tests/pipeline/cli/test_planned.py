import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.store import Store
from tests.conftest import Disk
from tests.pipeline.cli.conftest import Command, make_arrays, newest
from tests.pipeline.cli.test_run import ALL


def reasons(out: str) -> dict[str, str]:
    """Return the reasons of a plan printed as JSON, by task id."""
    return {step["id"]: "; ".join(step["reasons"]) for step in json.loads(out)["steps"] if step["action"] == "run"}


def views(n: int) -> tuple[str, ...]:
    """Return what lets there be so many views, each another."""
    return ("--set", f"data.views={n}", "--set", "data.transfer.augment={flip: true}")


def test_plan_before_the_first_run(project: Path, command: Command) -> None:
    done = command("plan", "tiny.yaml")
    assert done.code == 0
    assert "data (2 tasks) " in done.out
    assert re.search(r"\nspecialist \(2 tasks\) +open +1 CPU .*\n    decided by data and subsets\n", done.out)
    assert re.search(r"\nreport +run +1 CPU\n    written by every run\n", done.out)
    known = ("data[train]", "data[test]", "views[0]", "generalist", "confusion")
    counted = f"\n0 to reuse, {len(known)} to run beside report, and about {len(ALL) - len(known)} that depend on "
    assert f"{counted}data and subsets\ntime: unknown, for no run has done the like\n" in done.out
    assert not (project / "store").exists()
    assert not (project / "runs").exists()


def test_plan_says_what_changed(finished: Path, command: Command) -> None:
    done = command("plan", "tiny.yaml", "--set", "student.epochs=2", "--json")
    assert reasons(done.out) == {
        "student[distilled]": "student.epochs 1 -> 2",
        "student[hard]": "student.epochs 1 -> 2",
        "evaluate": "follows student[distilled], student[hard]",
        "report": "written by every run",
    }


def test_plan_tells_seeds_as_configs_have_them_and_of_several_runs_the_one_most_alike(
    finished: Path, command: Command
) -> None:
    other = ("--set", "seed=7")
    assert reasons(command("plan", "tiny.yaml", *other, "--json").out)["data[train]"] == "seed 0 -> 7"
    assert command("run", "tiny.yaml", "--until", "generalist", *other).code == 0
    changed = reasons(command("plan", "tiny.yaml", "--set", "data.holdout=0.2", "--json").out)
    assert changed["data[train]"] == "data.holdout 0.15 -> 0.2"
    assert [reason for reason in changed.values() if "seed" in reason] == []


def test_plan_reuses_what_is_the_same_whatever_the_subsets_will_be(finished: Path, command: Command) -> None:
    changes = ("--set", "specialists.method=random", "--set", "controls=[generalist]")
    assert command("run", "tiny.yaml", "--set", "controls=[generalist]").code == 0
    steps = {step["id"]: step for step in json.loads(command("plan", "tiny.yaml", *changes, "--json").out)["steps"]}
    assert steps["targets[generalist/0.0]"]["action"] == steps["student[generalist]"]["action"] == "reuse"
    assert (steps["targets"]["action"], steps["targets"]["tasks"]) == ("open", 2)  # one of each specialist
    assert steps["subsets"]["action"] == "run"
    assert (steps["student[distilled]"]["action"], steps["student[distilled]"]["decided_by"]) == ("open", ["subsets"])
    assert (
        "\n7 to reuse, 1 to run beside report, and about 7 that depend on subsets\n"
        in command("plan", "tiny.yaml", *changes).out
    )
    assert command("run", "tiny.yaml", *changes).code == 0


def test_plan_as_a_table_fits_80_columns_and_names_every_task_to_be_done(finished: Path, command: Command) -> None:
    done = command("plan", "tiny.yaml", "--set", "specialists.epochs=2")
    lines = done.out.splitlines()
    assert max(len(line) for line in lines if not line.startswith("to write: ")) <= 80
    first = next(number for number, line in enumerate(lines) if line.startswith("specialist[0-1] "))
    assert re.search(r" run +1 CPU +[\d.]+ s +600 MB +[\d.]+ kB$", lines[first])
    assert lines[first + 1] == "    specialists.epochs 1 -> 2"
    assert any(line.startswith("data (2 tasks)              reuse") for line in lines)
    assert "student[distilled]" in done.out
    assert re.search(r"\n8 to reuse, 7 to run beside report\ntime: about [\d.]+ s on 1 CPU\nto write: ", done.out)


@pytest.mark.parametrize("width", [60, 50, 110])
def test_plan_has_a_line_a_task_on_any_terminal(
    finished: Path, command: Command, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = command("plan", "tiny.yaml", "--set", "specialists.epochs=2").out.splitlines()
    heading, specialist = lines[0], next(line for line in lines if line.startswith("specialist[0-1]"))
    assert re.search(r" run +[\d.]+ s +[\d.]+ kB$" if width < 79 else r" run +1 CPU +.* kB$", specialist)
    assert max(map(len, (heading, specialist))) <= width
    assert "task, and why" in heading
    assert heading.endswith("writes")
    assert len(heading) == len(specialist)


def test_plan_with_sizes_known_counts_the_tasks_of_stages_not_decided_yet(project: Path, command: Command) -> None:
    told = json.loads(command("plan", "tiny.yaml", "--json").out)
    assert told["total"]["run"] + told["total"]["open"] == len(ALL)
    assert told["total"]["is_complete"]
    assert "calibration" not in [step["stage"] for step in told["steps"]]
    combined = next(step for step in told["steps"] if step["id"] == "combined")
    assert combined["least_bytes"] == 136 * (2 * 4 + 8) < combined["most_bytes"]
    table = command("plan", "tiny.yaml").out
    assert "specialist (2 tasks)" in table
    assert "calibration" not in table


def test_plan_shows_what_the_config_reserves(project: Path, command: Command) -> None:
    reserved = "ray.resources={evaluate: {cpus: 1.5, gpus: 0, memory: 2}, student: {gpus: 0.5}}"
    done = command("plan", "tiny.yaml", "--set", reserved, "--json")
    needs = {step["stage"]: step["needs"] for step in json.loads(done.out)["steps"]}
    assert needs["evaluate"] == {"CPU": 1.5, "memory": 2 * 2**30}
    assert needs["student"] == {"CPU": 1, "GPU": 0.5}
    together = ("--set", "student.workers=2", "--set", "ray={address: local, cpus: 2, resources: {student: {gpus: 1}}}")
    done = command("plan", "tiny.yaml", *together, "--json")
    needs = {step["stage"]: step["needs"] for step in json.loads(done.out)["steps"]}
    assert needs["student"] == {"CPU": 2, "GPU": 2}
    assert needs["data"] == {"CPU": 1}
    assert re.search("evaluate +open +1.5 CPU, 2.1 GB ", command("plan", "tiny.yaml", "--set", reserved).out)


@pytest.mark.parametrize(("address", "told"), [("inline", {"CPU": 1}), ("auto", {"CPU": 1, "GPU": 1})])
def test_plan_tells_of_gpus_only_where_there_may_be_some(
    project: Path, command: Command, address: str, told: dict[str, float]
) -> None:
    done = command("plan", "tiny.yaml", "--set", f"ray.address={address}", "--json")
    assert {step["stage"]: step["needs"] for step in json.loads(done.out)["steps"]}["generalist"] == told


def test_plan_for_a_cluster_tells_the_work_in_all(finished: Path, command: Command) -> None:
    changes = ("--set", "student.epochs=2", "--set", "ray.address=auto")
    assert re.search(
        r"\ntime: about \d+ s of work, shared by the cluster, and some seconds to start Ray\n",
        command("plan", "tiny.yaml", *changes).out,
    )
    total = json.loads(command("plan", "tiny.yaml", *changes, "--json").out)["total"]
    assert (total["cpus"], total["whole_seconds"], total["start_seconds"]) == (None, None, None)
    assert total["seconds"] > 0


def test_plan_tells_the_time_that_is_known_and_names_the_stages_of_which_it_is_not(
    finished: Path, command: Command
) -> None:
    changes = ("--set", "student.epochs=2", "--set", "student.batch_size=16", *views(12))
    out = command("plan", "tiny.yaml", *changes).out
    assert re.search(r"\ntime: at least \d+ s on 1 CPU; how long student takes is not known yet\n", out)
    assert "targets (36 tasks)" in out
    assert "student[hard] " in out
    total = json.loads(command("plan", "tiny.yaml", *changes, "--json").out)["total"]
    assert (total["untimed"], total["seconds"], total["whole_seconds"]) == (["student"], None, None)
    assert total["least_seconds"] == pytest.approx(total["known_seconds"])  # one CPU does all of it
    assert total["known_seconds"] > 0
    cluster = command("plan", "tiny.yaml", *changes, "--set", "ray.address=auto", "--set", "generalist.batch_size=16")
    told = "shared by the cluster, and some seconds to start Ray; how long generalist and student take is not known yet"
    assert re.search(rf"\ntime: at least \d+ s of work, {told}\n", cluster.out)


NEVER = "never done before"
FLIPS = "{transfer: {augment: {flip: true}}, source: 'npz:tiny.npz', root: .}"


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (
            f"data={FLIPS[:-1]}, views: 1}}",
            f"data={FLIPS[:-1]}, views: 2}}",
            {
                "views[1]": NEVER,
                "targets[generalist/1.0]": f"{NEVER}; follows views[1]",
                "student[hard]": "of its views it reads 2, where it read 1; follows views[1]",
                "student[distilled]": "of its views it reads 2, where it read 1; of its targets it reads 2, where it "
                "read 1; follows views[1], combined[1.0]",
            },
        ),
        (
            "controls=[hard]",
            "combine.calibrate=true",
            {
                "calibration[generalist]": NEVER,
                "combined[0.0]": "it reads calibration (3) now; follows calibration (3)",
            },
        ),
        (
            "combine={calibrate: true, divergence: reverse}",
            "combine={divergence: reverse}",
            {
                "combined[0.0]": "it reads no calibrations now",
                "student[distilled]": "follows combined[0.0]",
            },
        ),
        (
            "controls=[hard]",
            "data={source: 'npz:tiny.npz', root: ., views: 1, folds: 2}",
            {
                "fold[0]": f"{NEVER}; follows data[train]",
                "confusion": "it reads fold[0], fold[1] now; it reads no generalist now; follows data[train], fold[0], "
                "fold[1]",
            },
        ),
        (
            "controls=[hard]",
            "sweep={temperature: [2, 4]}",
            {"student[distilled/temperature=2]": NEVER},
        ),
        (
            "controls=[hard]",
            "controls=[]",
            {"evaluate": "controls ['hard'] -> []; of its students it reads 1, where it read 2"},
        ),
        ("controls=[hard]", "specialists={size: 3, epochs: 1}", {"subsets": "specialists.size null -> 3"}),
    ],
)
def test_plan_says_that_tasks_are_new_or_read_more_or_fewer_others(
    finished: Path, command: Command, before: str, now: str, told: dict[str, str]
) -> None:
    if before != "controls=[hard]":
        assert command("run", "tiny.yaml", "--set", before).code == 0
    found = reasons(command("plan", "tiny.yaml", "--set", now, "--json").out)
    assert {name: found[name] for name in told} == told
    assert [name for name, reason in found.items() if not reason] == []


@pytest.mark.parametrize(
    "change",
    ["seed=0", "specialists.size=3", "specialists.epochs=2", "data.holdout=0.2", "seeds=[0, 1]", "refit=true"],
)
def test_plan_counts_the_tasks_of_the_rows_that_it_shows(finished: Path, command: Command, change: str) -> None:
    out = command("plan", "tiny.yaml", "--set", change).out
    counts = dict.fromkeys(("reuse", "run", "open"), 0)
    for tasks, action in re.findall(r"^\S+(?: \((\d+) tasks\))? +(reuse|run|open)\b", out, re.MULTILINE):
        counts[action] += int(tasks or 1)
    reused, run, is_open = re.search(
        r"^(\d+) to reuse, (\d+) to run beside report(?:, and about (\d+) that depend on .*)?$", out, re.MULTILINE
    ).groups("0")  # type: ignore[union-attr]
    assert counts == {"reuse": int(reused), "run": int(run) + 1, "open": int(is_open)}
    told = json.loads(command("plan", "tiny.yaml", "--set", change, "--json").out)["total"]
    assert (told["reuse"], told["run"], told["written"]) == (int(reused), int(run), ["report"])


def test_plan_when_all_is_done(finished: Path, command: Command) -> None:
    assert command("plan", "tiny.yaml").out.endswith("\n15 to reuse, 0 to run beside report\n")
    told = json.loads(command("plan", "tiny.yaml", "--json").out)
    assert (told["total"]["seconds"], told["total"]["whole_seconds"], told["warnings"]) == (0, 0, [])


def test_plan_of_named_classes_names_them(project: Path, command: Command) -> None:
    np.savez(project / "tiny.npz", class_names=np.array(["cat", "dog", "car", "truck"]), **make_arrays())
    assert command("run", "tiny.yaml", "--until", "subsets").code == 0
    assert "specialist[0-1] cat, dog " in command("plan", "tiny.yaml").out


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (60, {"specialist: gasket, …", "specialist: hex nut, …"}),
        (80, {"specialist: gasket, conical springs", "specialist: hex nut, lock washer"}),
        (110, {"specialist[0-1] gasket, conical springs", "specialist[2-3] hex nut, lock washer"}),
    ],
)
def test_plan_leaves_out_ids_of_classes_before_their_names(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch, columns: int, names: set[str]
) -> None:
    classes = ["gasket", "conical springs", "hex nut", "lock washer"]
    np.savez(project / "tiny.npz", class_names=np.array(classes), **make_arrays())
    assert command("run", "tiny.yaml", "--until", "subsets").code == 0
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = command("plan", "tiny.yaml").out.splitlines()
    assert {line.partition(" run ")[0].rstrip() for line in lines if line.startswith("specialist")} == names


def test_plan_tells_specialists_apart_whose_first_classes_are_the_same(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = ["gasket", "conical spring", "hexagonal nut", "washer"]
    np.savez(project / "tiny.npz", class_names=np.array(classes), **make_arrays())
    subsets = "specialists={method: manual, subsets: [[0, 1], [0, 2]]}"
    assert command("run", "tiny.yaml", "--until", "subsets", "--set", subsets).code == 0
    monkeypatch.setenv("COLUMNS", "60")
    lines = command("plan", "tiny.yaml", "--set", subsets).out.splitlines()
    told = [line for line in lines if line.startswith("specialist")]
    assert [line[:28].rstrip() for line in told] == ["specialist: g…onical spring", "specialist: g…hexagonal nut"]


def test_plan_into_a_pipe_cuts_no_name(project: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{word} {'o' * 12}" for word in ("cat", "dog", "car", "truck")]
    np.savez(project / "tiny.npz", class_names=np.array(names), **make_arrays())
    assert command("run", "tiny.yaml", "--until", "subsets").code == 0
    whole = f"specialist[0-1] {names[0]}, {names[1]}"
    heading, *lines = command("plan", "tiny.yaml").out.splitlines()
    line = next(line for line in lines if line.startswith(f"{whole} "))
    assert len(line) == len(heading) > 80
    for width, is_cut in ((80, True), (110, False)):
        monkeypatch.setenv("COLUMNS", str(width))
        out = command("plan", "tiny.yaml").out
        assert (f"{whole} " not in out) == is_cut
        assert max(map(len, out.splitlines()[:6])) <= width


def test_dry_run_is_the_plan_of_what_is_asked_for(finished: Path, command: Command) -> None:
    changes = ("--set", "student.epochs=2")
    runs = list((finished / "runs").iterdir())
    whole = command("run", "tiny.yaml", "--dry-run", *changes)
    assert whole.out == command("plan", "tiny.yaml", *changes).out
    only = command("run", "tiny.yaml", "--dry-run", "--only", "student", *changes)
    assert "\n0 to reuse, 2 to run\n" in only.out
    assert "data" not in only.out
    assert list((finished / "runs").iterdir()) == runs


def test_run_is_refused_before_any_work_where_its_tables_cannot_be_kept(
    project: Path, command: Command, make_disk: Disk
) -> None:
    disk = make_disk("size=64k")
    (disk / "other").write_bytes(b"0" * 2**14)
    settings = ("tiny.yaml", "--set", f"store={disk}/store", *views(40))
    Store.open(f"{disk}/store")
    assert command("validate", *settings).code == 0  # the sizes are remembered now
    told = f"{disk}/store must have room for "
    for look in (("run",), ("plan",), ("run", "--dry-run")):
        done = command(*look, *settings)
        assert done.code == 1
        assert done.err.startswith(told)
        assert "free space on that filesystem, or name a store elsewhere" in done.err
        assert ": done in" not in done.out
    assert list((project / "runs").iterdir()) == []


def test_run_of_unknown_data_is_refused_as_soon_as_its_sizes_are_known(
    project: Path, command: Command, make_disk: Disk
) -> None:
    disk = make_disk("size=100k")
    done = command("run", "tiny.yaml", "--set", f"store={disk}", *views(60))
    assert done.code == 1
    assert f"{disk} must have room for " in done.err
    assert "data[train]: done in" in done.out
    assert "views" not in done.out


def test_run_keeps_what_its_tasks_took_for_the_next_plan(finished: Path, command: Command) -> None:
    events = [json.loads(line) for line in (newest(finished / "runs") / "events.jsonl").read_text().splitlines()]
    took = {event["task"]: event["seconds"] for event in events if event["event"] == "task_finished"}
    told = json.loads(command("plan", "tiny.yaml", "--set", "student.epochs=3", "--json").out)
    steps = {step["id"]: step for step in told["steps"]}
    assert steps["student[hard]"]["seconds"] == pytest.approx(3 * took["student[hard]"])
    assert steps["evaluate"]["seconds"] == pytest.approx(took["evaluate"])
    assert told["total"]["untimed"] == []
    assert told["total"]["whole_seconds"] > 0
    assert told["total"]["start_seconds"] == 0  # inline, nothing has to be started


def test_plan_of_a_forced_stage(finished: Path, command: Command) -> None:
    done = command("plan", "tiny.yaml", "--force", "evaluate", "--json")
    assert reasons(done.out)["evaluate"].startswith("asked for with --force")
