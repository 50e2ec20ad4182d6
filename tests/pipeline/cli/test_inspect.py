import json
import os
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.store import Store
from stages import STAGES
from tests.pipeline.cli.conftest import DIVERGING, Command, factory_of, make_arrays, newest
from tests.waiting import wait_until


def test_validate_says_that_a_config_is_right(project: Path, command: Command) -> None:
    told = (
        "tiny.yaml: right; the run is named tiny\n"
        "npz:tiny.npz: 160 training and 60 test images of 8 x 8 x 1, 4 classes\n"
    )
    assert command("validate", "tiny.yaml").out == told
    started = time.perf_counter()
    assert command("validate", "tiny.yaml").out == told
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("look", ["plan", "validate"])
def test_looking_makes_no_store(project: Path, command: Command, look: str) -> None:
    before = sorted(project.rglob("*"))
    assert command(look, "tiny.yaml").code == 0
    assert sorted(project.rglob("*")) == before


def test_validate_lists_all_faults_at_once(project: Path, command: Command) -> None:
    text = (project / "tiny.yaml").read_text().replace("epochs: 1}\nspec", "epochs: none}\nspec")
    (project / "tiny.yaml").write_text(text.replace("controls", "control").replace("count: 2", "count: -2"))
    done = command("validate", "tiny.yaml")
    assert done.code == 2
    assert done.err.splitlines() == [
        "tiny.yaml:6: generalist.epochs: must be an integer; got 'none'",
        "tiny.yaml:7: specialists.count: must be at least 1; got -2",
        "tiny.yaml:9: control: must be a key of its section; got 'control'; did you mean 'controls'?",
    ]


NAMES = np.array(["cat", "dog", "car", "truck"])
MISSPELT = "specialists={method: manual, subsets: [[cat, dgo], [car, truck]]}"
MISFIT = f"--set {MISSPELT}: specialists.subsets[0][1]: must be the name of a class; got 'dgo'; did you mean 'dog'?\n"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            ("specialists.method=manual", "specialists.subsets=[[cat, dgo], [car, car], [dog]]", "data.views=0"),
            [
                "subsets[2]: must list at least two classes; got ['dog']",
                "subsets[0][1]: must be the name of a class; got 'dgo'; did you mean 'dog'?",
                "subsets[1][1]: must be listed once in its subset; got 'car' again",
                "data.views: must be at least 1; got 0",
            ],
        ),
        (
            ("specialists.subsets=[[cat, dgo]]", "specialists.method=confusion", "data.transfer.omit=[foo]"),
            [
                "subsets: must be given with method manual, and with no other; got ",
                "subsets[0][1]: must be the name of a class; got 'dgo'; did you mean 'dog'?",
                "omit[0]: must be the name of a class; got 'foo'",
            ],
        ),
        (
            ("specialists={count: 2, method: manual}", "data.transfer.omit=[foo]"),
            [
                "subsets: must be given with method manual, and with no other; got nothing",
                "omit[0]: must be the name of a class; got 'foo'",
            ],
        ),
    ],
)
def test_validate_tells_faults_of_classes_beside_those_of_their_lists(
    project: Path, command: Command, changes: tuple[str, ...], told: list[str]
) -> None:
    np.savez(project / "tiny.npz", class_names=NAMES, **make_arrays())
    done = command("validate", "tiny.yaml", *(word for change in changes for word in ("--set", change)))
    lines = done.err.splitlines()
    assert done.code == 2
    assert len(lines) == len(told)
    assert all(part in line for part, line in zip(told, lines, strict=True))


@pytest.mark.parametrize("share", ["0.99", "0", "half"])
def test_validate_of_a_share_that_does_not_fit_tells_no_fault_that_follows(
    project: Path, command: Command, share: str
) -> None:
    for number in range(6):
        path = project / "photos" / f"class{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(path)
    changes = ("--set", "data.source=folder:photos", "--set", f"data.test={share}", "--set", "student.epochs=0")
    lines = command("validate", "tiny.yaml", *changes).err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"--set data.test={share}: data.test: must be ")
    assert lines[1].startswith("--set student.epochs=0: student.epochs: must be ")


def test_validate_loads_the_data_to_know_its_class_names(project: Path, command: Command) -> None:
    np.savez(project / "tiny.npz", class_names=NAMES, **make_arrays())
    Store.open("store")
    done = command("validate", "tiny.yaml", "--set", MISSPELT)
    assert (done.code, done.err) == (2, MISFIT)
    # Now they are remembered.
    for look in ("plan", "run"):
        done = command(look, "tiny.yaml", "--set", MISSPELT)
        assert (done.code, done.err) == (2, MISFIT)
    assert not (project / "runs").exists()


def test_run_finds_misspelt_classes_as_soon_as_the_data_is_loaded(project: Path, command: Command) -> None:
    np.savez(project / "tiny.npz", class_names=NAMES, **make_arrays())
    done = command("run", "tiny.yaml", "--set", MISSPELT)
    assert (done.code, done.err) == (2, MISFIT)
    assert "generalist: done" not in done.out
    assert command("status").out.endswith(MISFIT)
    # The data is in the store by now.
    done = command("plan", "tiny.yaml", "--set", MISSPELT)
    assert (done.code, done.err) == (2, MISFIT)


def test_validate_tells_the_faults_of_the_data_where_it_is_named(project: Path, command: Command) -> None:
    arrays = make_arrays()
    arrays["x_test"] = arrays["x_test"] / 255
    np.savez(project / "tiny.npz", class_names=NAMES, **arrays)
    done = command("validate", "tiny.yaml", "--set", "student.epochs=0")
    assert done.code == 2
    data, student = done.err.splitlines()
    assert data.startswith(
        "tiny.yaml:4: data.source: npz:tiny.npz must be a data set of images and labels: x_test must"
    )
    assert student == "--set student.epochs=0: student.epochs: must be at least 1; got 0"


def test_validate_runs_a_factory_to_know_how_many_classes_it_makes(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = factory_of("tiny.npz", project, "four_classes", monkeypatch)
    Store.open("store")
    changes = ("--set", f"data.source={source}", "--set", "specialists.count=3")
    for look in ("validate", "plan", "run"):
        done = command(look, "tiny.yaml", *changes)
        assert done.code == 2
        assert done.err.startswith("--set specialists.count=3: specialists.count: must be at most 2, ")
    assert not (project / "runs").exists()


def test_what_a_factory_returned_is_forgotten_where_the_data_are_read_again(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = factory_of("own.npz", project, "own_names", monkeypatch)
    Store.open("store")
    arrays = make_arrays()
    np.savez(project / "own.npz", class_names=NAMES, **arrays)
    named = [f"{name}s" for name in NAMES]
    subsets = f"specialists={{method: manual, subsets: [[{named[0]}, {named[1]}]]}}"
    changes = ("tiny.yaml", "--set", f"data.source={source}", "--set", subsets)
    assert command("plan", *changes).code == 2
    np.savez(project / "own.npz", class_names=named, **arrays)
    assert command("plan", *changes).code == 2
    assert command("plan", *changes, "--force", "data").code == 0
    assert command("plan", *changes).code == 0


def test_status_of_a_finished_run(finished: Path, command: Command) -> None:
    done = command("status")
    assert done.code == 0
    assert done.out.splitlines()[0] == f"runs/{newest(finished / 'runs').name}: done"
    state = json.loads(command("status", "tiny", "--json").out)
    assert state["status"] == "done"
    assert state["tasks"]["student[hard]"]["state"] == "done"


def test_status_says_why_a_run_failed(project: Path, command: Command) -> None:
    command("run", "tiny.yaml", "--set", f"generalist={DIVERGING}")
    done = command("status")
    assert done.out.splitlines()[0].endswith(": failed")
    assert "generalist: " in done.out
    state = json.loads(command("status", "--json").out)
    assert state["tasks"]["generalist"]["fault"]


def test_status_says_why_a_run_failed_before_any_task(project: Path, command: Command) -> None:
    Store.open("store")
    (project / "store/manifests").write_text("no folder")
    told = command("run", "tiny.yaml").err
    assert "must be readable; got Not a directory" in told
    done = command("status")
    assert done.out.splitlines()[0].endswith(": failed")
    assert done.out.endswith(told)
    assert json.loads(command("status", "--json").out)["fault"] == told.strip()


def interrupt(run: Path, *, lacking: str = "") -> None:
    """Let the events of a run say that it was interrupted, its first one without an entry."""
    first, *others, _ = (run / "events.jsonl").read_text().splitlines()
    started = {name: value for name, value in json.loads(first).items() if name != lacking}
    ended = {"time": time.time(), "event": "run_ended", "status": "interrupted", "fault": ""}
    (run / "events.jsonl").write_text("\n".join([json.dumps(started), *others, json.dumps(ended), ""]))


def test_status_of_an_interrupted_run_says_what_to_do(finished: Path, command: Command) -> None:
    run = newest(finished / "runs")
    interrupt(run)
    lines = command("status").out.splitlines()
    assert lines[0].endswith(": interrupted")
    again = f"python -m pipeline run {run}/config.yaml"
    assert lines[-1] == f"what is done is kept: the command that began it, or `{again}`, goes on from there"
    assert command(*again.split()[3:]).code == 0
    assert set(json.loads((newest(finished / "runs") / "results.json").read_text())["reused"]) >= {"evaluate"}


def test_status_from_another_folder_tells_a_command_that_goes_on_in_the_runs_own(
    finished: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = newest(finished / "runs")
    interrupt(run)
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    told = command("status", f"../finished/runs/{run.name}").out.splitlines()[-1]
    again = f"cd {finished} && python -m pipeline run {run}/config.yaml"
    same = "the command that began it, given in the same folder"
    assert told == f"what is done is kept: `{again}`, or {same}, goes on from there"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    python = f'python() {{ {shlex.quote(sys.executable)} "$@"; }}; '
    subprocess.run(python + again, shell=True, check=True, env=environment, stdout=subprocess.DEVNULL)
    assert list(elsewhere.iterdir()) == []
    assert set(json.loads((newest(finished / "runs") / "results.json").read_text())["reused"]) >= {"evaluate"}

    (run / "config.yaml").unlink()
    told = command("status", str(run)).out.splitlines()[-1]
    assert told == f"what is done is kept: the command that began it, given in {finished}, goes on from there"


def test_status_of_an_interrupted_run_of_an_earlier_version_says_that_a_folder_is_meant(
    finished: Path, command: Command
) -> None:
    run = newest(finished / "runs")
    interrupt(run, lacking="began_in")
    again = f"`python -m pipeline run {run}/config.yaml`, given in the folder where it began"
    told = command("status").out.splitlines()[-1]
    assert told == f"what is done is kept: the command that began it, or {again}, goes on from there"


def test_status_of_a_run_that_has_lost_its_results_says_what_predict_says(finished: Path, command: Command) -> None:
    run = newest(finished / "runs")
    (run / "results.json").unlink()
    again = f"`python -m pipeline report runs/{run.name}` writes its files again"
    lost = f"done, but its results.json is no longer there: {again}"
    assert command("status", "tiny").out.splitlines()[0] == f"runs/{run.name}: {lost}"
    Image.new("L", (8, 8)).save(finished / "a.png")
    assert (
        command("predict", "tiny", "a.png").err
        == f"{run.name} must have what it had at its end; got one that is {lost}\n"
    )
    assert command("report", f"runs/{run.name}").code == 0
    assert command("predict", "tiny", "a.png").code == 0
    assert command("status", "tiny").out.splitlines()[0] == f"runs/{run.name}: done"


@pytest.mark.parametrize("option", ["--until", "--only"])
def test_status_of_a_part_says_as_far_as_what_was_asked_for(finished: Path, command: Command, option: str) -> None:
    assert command("run", "tiny.yaml", option, "subsets").code == 0
    lines = command("status", newest(finished / "runs").name).out.splitlines()
    assert lines[0].endswith(": done, as far as was asked for: subsets")
    assert lines[-1] == "what is done is kept: the same command without --until or --only goes on from there"
    assert command("status", "--json").code == 0


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("running", "got one that still goes on: wait for it, or name another"),
        ("failed", "got one that failed before that: the command that began it, or `python -m pipeline run "),
        ("interrupted", "got one that was interrupted before that: the command that began it, or `python -m pipe"),
    ],
)
def test_report_of_a_run_without_an_end_says_why_and_what_to_do(
    finished: Path, command: Command, status: str, told: str
) -> None:
    run = newest(finished / "runs")
    *before, _ = (run / "events.jsonl").read_text().splitlines(keepends=True)
    before = [line for line in before if '"task": "evaluate"' not in line]
    ended = [json.dumps({"time": time.time(), "event": "run_ended", "status": status, "fault": ""}) + "\n"]
    (run / "events.jsonl").write_text("".join([*before, *(ended if status != "running" else [])]))
    done = command("report", "tiny")
    assert done.code == 2
    assert f"{run.name} must have reached its end; {told}" in done.err


def test_damaged_log_of_a_run_is_told_and_stops_no_other(finished: Path, command: Command) -> None:
    events = newest(finished / "runs") / "events.jsonl"
    events.write_text(events.read_text().replace("{", "", 1))
    for name in ("status", "report"):
        done = command(name, *([] if name == "status" else ["tiny"]))
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith(f"runs/{events.parent.name}/events.jsonl:1: must be an event")
    done = command("run", "tiny.yaml", "--set", "student.epochs=2")
    assert done.code == 0
    assert f"warning: runs/{events.parent.name}/events.jsonl:1: must be an event" in done.err


def test_status_lists_the_stages_in_order_and_the_specialists_by_name(finished: Path, command: Command) -> None:
    lines = command("status").out.partition("warning:")[0].splitlines()[1:]
    stages = [line.split()[0] for line in lines if not line.startswith(" ")]
    (recorded,) = Store.open("store").runs()
    asked_for = {task.partition("[")[0] for task in recorded.keys} | {"report"}
    assert stages == [stage.name for stage in STAGES if stage.name in asked_for]
    assert {"generalist", "specialist", "student"} <= asked_for
    assert [line.split()[0] for line in lines if line.startswith(" ")] == ["0-1", "2-3"]


def test_status_into_a_pipe_breaks_no_warning_in_two(finished: Path, command: Command) -> None:
    warned = {"time": time.time(), "event": "warning", "message": "nothing that is kept " * 20 + "counts"}
    with (newest(finished / "runs") / "events.jsonl").open("a") as log:
        log.write(json.dumps(warned) + "\n")
    assert f"warning: {warned['message']}" in command("status").out.splitlines()


def test_status_of_a_running_and_then_of_a_killed_run(project: Path, command: Command) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    started = [sys.executable, "-m", "pipeline", "run", "tiny.yaml", "--set", "generalist.epochs=100000"]
    with subprocess.Popen(started, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(
                lambda: '"epoch"' in "".join(path.read_text() for path in project.glob("runs/*/events.jsonl")),
                "the generalist must begin",
            )
            running = command("status")
        finally:
            process.kill()
            process.wait()
    assert running.out.splitlines()[0].endswith(": running")
    assert "/100000, accuracy " in running.out
    killed = command("status")
    assert killed.out.splitlines()[0].endswith(": interrupted")
    assert "stopped" in killed.out
    assert "/100000" not in killed.out
    assert json.loads(command("status", "--json").out)["status"] == "interrupted"


def test_status_names_the_runs_there_are(finished: Path, command: Command) -> None:
    done = command("status", "tinny")
    assert done.code == 2
    assert (
        done.err
        == "the run must be one of those in runs (tiny), or a folder of one; got 'tinny'; did you mean 'tiny'?\n"
    )
    assert command("status", "--runs", "nowhere").code == 2


def test_store_verify_finds_a_whole_store_whole(finished: Path, command: Command) -> None:
    assert command("store", "verify", "store").out == "store: no faults\n"
    assert json.loads(command("store", "verify", "store", "--json").out) == []


@pytest.mark.parametrize("seed", range(3))
def test_store_verify_names_an_object_with_a_flipped_bit(finished: Path, command: Command, seed: int) -> None:
    chance = random.Random(seed)
    path = chance.choice(sorted(path for path in (finished / "store/objects").rglob("*") if path.is_file()))
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.chmod(0o644)
    path.write_bytes(data)
    done = command("store", "verify", "store")
    assert done.code == 1
    assert f"{path.relative_to(finished / 'store')}: does not match the digest it is named by" in done.out
    assert done.out.endswith("store: 1 fault: the next run that needs the result makes it again\n")
    assert command("run", "tiny.yaml").code == 0


@pytest.mark.parametrize("verb", ["validate", "run"])
def test_store_that_cannot_be_made_is_told_before_a_run(project: Path, command: Command, verb: str) -> None:
    done = command(verb, "tiny.yaml", "--set", "store=/proc/x")
    assert done.code == 2
    assert done.err == (
        "--set store=/proc/x: store: /proc/x must be a folder that you can write to; got a filesystem that takes no new"
        " folders: check the folder, or name a store elsewhere\n"
    )


def test_validate_leaves_nothing_where_a_store_would_be(project: Path, command: Command) -> None:
    before = sorted(project.iterdir())
    assert command("validate", "tiny.yaml", "--set", "store=new/store").code == 0
    assert sorted(project.iterdir()) == before


def test_store_verify_wants_a_store(project: Path, command: Command) -> None:
    done = command("store", "verify", "nowhere")
    assert done.code == 2
    assert done.err == (
        "nowhere: must be the folder or URL of a store; looked there for store.json and for results, and found neither:"
        " name by the argument STORE what the config of your runs names as `store`, or make a store with"
        " `python -m pipeline run CONFIG`\n"
    )


def test_command_about_tables_says_by_what_another_store_is_named(project: Path, command: Command) -> None:
    done = command("targets", "list", "--store", "nowhere")
    assert done.code == 2
    assert "found neither: name by --store what the config of your runs names as `store`, or" in done.err


def test_store_verify_names_a_lost_json_and_a_run_writes_it_again(finished: Path, command: Command) -> None:
    (finished / "store/store.json").unlink()
    done = command("store", "verify", "store")
    assert done.code == 1
    assert done.out == "store.json: is missing: the next `run` with this store writes it again\nstore: 1 fault\n"
    assert command("targets", "list", "--store", "store").code == 0
    assert "store/store.json was missing; it is written again" in command("run", "tiny.yaml").err
    assert command("store", "verify", "store").code == 0


def test_store_of_another_version_ends_with_2(project: Path, command: Command) -> None:
    Store.open("store")
    (project / "store/store.json").write_text('{"format":2}')
    done = command("run", "tiny.yaml")
    assert done.code == 2
    assert done.err.startswith("tiny.yaml:2: store: ")
    assert command("store", "verify", "store").code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Usage:"),
        (("store",), "Usage:"),
        (("rum", "tiny.yaml"), "No such command 'rum'"),
        (("run",), "Missing argument 'CONFIG'"),
        (("run", "tiny.yaml", "--unti", "data"), "No such option: --unti"),
        (("run", "tiny.yml"), "tiny.yml: must be a file that can be read"),
        (("run", "tiny.yml"), "did you mean 'tiny.yaml'?"),
        (("run", "tiny.yaml", "--only", "studnt"), "did you mean 'student'?"),
        (("run", "tiny.yaml", "--until", "evaluat"), "did you mean 'evaluate'?"),
        (("run", "tiny.yaml", "--force", "repport"), "did you mean 'report'?"),
        (("plan", "tiny.yaml", "--force", "repport"), "did you mean 'report'?"),
        (("run", "tiny.yaml", "--only", "data", "--until", "data"), "only one of them must be given"),
    ],
)
def test_wrong_command_ends_with_2_and_says_what_is_wrong(
    project: Path, command: Command, arguments: tuple[str, ...], told: str
) -> None:
    done = command(*arguments)
    assert done.code == 2
    assert told in done.out + done.err
    assert not (project / "runs").exists()


@pytest.mark.parametrize("arguments", [("--help",), ("run", "-h"), ("store", "verify", "--help")])
def test_help_is_no_fault(command: Command, arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert (done.code, done.err) == (0, "")
    assert "Usage:" in done.out
