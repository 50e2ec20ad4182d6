"""Runs with teachers that are there already: exported by another run, used as they are, refused by name."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.store import Store
from tests.pipeline.cli.conftest import Command, Done, factory_of, newest, without_times

SPECIALISTS = ("0-1", "2-3")


def exported(command: Command, *names: str) -> None:
    for name in names:
        done = command("export", "tiny", "--format", "safetensors", "--network", name, "--to", f"{name}.safetensors")
        assert (done.code, done.err) == (0, "")


def settings(**sections: Any) -> list[str]:
    """Return options that replace whole sections, and the store: nothing may be found of the first run."""
    replaced = {"store": "another", **sections}
    return [part for name, value in replaced.items() for part in ("--set", f"{name}={json.dumps(value)}")]


def results(folder: Path) -> dict[str, Any]:
    return dict(json.loads((newest(folder / "runs") / "results.json").read_text()))


@pytest.fixture
def teachers(finished: Path, command: Command) -> Path:
    """A working folder with the teachers of a finished run in files of their own."""
    found = [tuple(map(str, one["classes"])) for one in results(finished)["specialists"]]
    assert ["-".join(classes) for classes in found] == list(SPECIALISTS)
    exported(command, "generalist", *SPECIALISTS)
    return finished


def all_given() -> list[str]:
    subsets = [{"subset": ["1", 0], "weights": "0-1.safetensors"}, {"subset": [2, 3], "weights": "2-3.safetensors"}]
    return settings(generalist={"from": "generalist.safetensors"}, specialists={"from": subsets})


def test_run_with_the_teachers_of_another_finds_what_that_found(teachers: Path, command: Command) -> None:
    before = without_times(results(teachers))
    done = command("run", "tiny.yaml", *all_given())
    assert done.code == 0, done.err
    assert "given[0-1]: done" in done.out
    after = without_times(results(teachers))
    assert [one.pop("state") for one in after["specialists"]] == ["given", "given"]
    assert [one.pop("state") for one in before["specialists"]] == ["trained", "trained"]
    for name in ("generalist", "specialists", "ensemble", "students", "differences"):
        assert after[name] == before[name], name
    page = (newest(teachers / "runs") / "report.html").read_text()
    assert "(given)" in page
    steps = json.loads(command("plan", "tiny.yaml", *all_given(), "--json").out)["steps"]
    assert [step["id"] for step in steps if step["action"] == "run"] == ["report"]


def test_other_weights_are_another_network_and_another_path_is_not(teachers: Path, command: Command) -> None:
    def to_run(weights: str) -> list[str]:
        options = settings(generalist={"from": weights})
        steps = json.loads(command("plan", "tiny.yaml", *options, "--json").out)["steps"]
        return [step["id"] for step in steps if step["action"] == "run"]

    exported(command, "student-distilled")
    options = settings(generalist={"from": "generalist.safetensors"})
    assert command("run", "tiny.yaml", *options, "--until", "generalist").code == 0
    assert "generalist" not in to_run("generalist.safetensors")
    (teachers / "moved").mkdir()
    for ending in ("safetensors", "json"):
        (teachers / f"generalist.{ending}").rename(teachers / f"moved/generalist.{ending}")
    assert "generalist" not in to_run("moved/generalist.safetensors")
    assert "given[generalist]" in to_run("student-distilled.safetensors")


def test_specialist_that_is_there_stands_beside_one_that_is_trained(teachers: Path, command: Command) -> None:
    specialists = {"from": [{"subset": [0, 1], "weights": "0-1.safetensors"}], "subsets": [[1, 2, 3]], "epochs": 1}
    done = command("run", "tiny.yaml", *settings(specialists=specialists))
    assert done.code == 0, done.err
    found = {"-".join(map(str, one["classes"])): one["state"] for one in results(teachers)["specialists"]}
    assert found == {"0-1": "given", "1-2-3": "trained"}


def test_all_that_does_not_fit_is_told_before_any_work(teachers: Path, command: Command) -> None:
    arrays = dict(np.load(teachers / "tiny.npz"))
    arrays["class_names"] = np.array(["cat", "dog", "car", "truck"])
    wider = {name: np.pad(images, ((0, 0), (0, 1), (0, 0))) for name, images in arrays.items() if name[0] == "x"}
    np.savez(teachers / "other.npz", **arrays | wider)
    specialists = {"from": [{"subset": ["cat", "car"], "weights": "0-1.safetensors"}]}
    options = settings(generalist={"from": "2-3.safetensors"}, specialists=specialists)
    done = command("validate", "tiny.yaml", *options, "--set", "data.source=npz:other.npz")
    assert done.code == 2
    other = "must be of a network that knows the classes of the data, in their order; got '0' for 'cat', '1' for 'dog'"
    size = "must be of a network for images of 9 x 8 x 1; got one for 8 x 8 x 1"
    told = [
        f"generalist.from: {other}",
        f"generalist.from: {size}",
        "generalist.from: must be of a network for all classes; got one for 2, 3",
        f"specialists.from[0].weights: {other}",
        f"specialists.from[0].weights: {size}",
        "specialists.from[0].weights: must be of a network for cat, car; got one for 0, 1",
    ]
    lines = done.err.splitlines()
    assert len(lines) == len(told)
    assert all(fault in line for fault, line in zip(told, lines, strict=True))


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"generalist": {"from": "none.safetensors"}}, "generalist.from: weights must be a file; got none at"),
        ({"generalist": {"from": "tiny.npz"}}, "generalist.from: weights must be a file that ends in one of"),
        ({"generalist": {"from": "python:none:make"}}, "generalist.from: module none must be one that Python can"),
        ({"generalist": {"from": "python:none"}}, "generalist.from: must be python:MODULE:FACTORY"),
        (
            {"specialists": {"from": [{"subset": [0, 1], "weights": "g.pt"}], "method": "confusion"}},
            "specialists.from: must be given with method manual, or with none named; got method confusion",
        ),
        (
            {"generalist": {"trained_on": "training"}},
            "generalist.trained_on: must be left out without generalist.from, of whose network it is; got training",
        ),
        (
            {"generalist": {"from": "generalist.safetensors", "trained_on": "traning"}},
            "generalist.trained_on: must be 'training'; got 'traning'; did you mean 'training'?",
        ),
        (
            {"specialists": {"from": [{"subset": [0, 9], "weights": "2-3.safetensors"}]}},
            "specialists.from[0].subset[1]: must be a class id within 0..3; got 9",
        ),
        (
            {"specialists": {"from": [{"subset": [0, 1], "weights": "0-1.safetensors"}], "subsets": [[1, 0]]}},
            "specialists.subsets[0]: must be another subset than those before it; got [1, 0] again",
        ),
        (
            {"specialists": {"from": [{"subset": [0, 1], "weights": "0-1.safetensors"}], "count": 2}},
            "must be as many as specialists.count says, 2; got 1",
        ),
    ],
)
def test_wrong_setting_is_told_before_any_work(
    teachers: Path, command: Command, sections: dict[str, Any], told: str
) -> None:
    done = command("run", "tiny.yaml", *settings(**sections))
    assert done.code == 2
    assert told in done.err


@pytest.mark.parametrize("words", [("validate",), ("plan",), ("run", "--until", "given")])
def test_subset_out_of_the_order_of_outputs_is_refused_where_nothing_else_tells_it(
    teachers: Path, command: Command, words: tuple[str, ...]
) -> None:
    def done(subset: list[int | str], weights: str) -> Done:
        specialists = {"from": [{"subset": subset, "weights": weights}]}
        return command(words[0], "tiny.yaml", *settings(specialists=specialists), *words[1:])

    assert done(["3", 2], "2-3.safetensors").code == 0  # its JSON says which output is which
    (teachers / "2-3.json").unlink()
    refused = done(["3", 2], "2-3.safetensors")
    assert refused.code == 2
    rule = "must list classes in the order of the class set, for that must be the order of the network's outputs"
    hint = "write [2, 3], and put the outputs in this order, too, where they are not"
    assert f"specialists.from[0].subset: {rule}; got [3, 2]; {hint}" in refused.err
    assert "specialists.from[0].subset: must list classes in the order" in done([1, 0], "python:tests.waiting:make").err
    assert done([2, "3"], "2-3.safetensors").code == 0


@pytest.mark.parametrize("words", [("validate",), ("plan",)])
def test_files_that_hold_no_weights_are_told_at_once(teachers: Path, command: Command, words: tuple[str, ...]) -> None:
    (teachers / "page.pt").write_text("<html>not found</html>")
    (teachers / "part.safetensors").write_bytes((teachers / "0-1.safetensors").read_bytes()[:-4])
    sections = {
        "generalist": {"from": "page.pt"},
        "specialists": {"from": [{"subset": [0, 1], "weights": "part.safetensors"}]},
        "student": {"model": {"name": "mlp", "weights": "page.pt"}},
    }
    done = command(*words, "tiny.yaml", *settings(**sections))
    assert done.code == 2
    page = f"{teachers}/page.pt must be a file that torch.save wrote; got one that begins with b'<html>no'"
    part = f"{teachers}/part.safetensors must be a whole file of safetensors; got one that begins with b'"
    for place, told in (
        ("generalist.from", page),
        ("specialists.from[0].weights", part),
        ("student.model.weights", page),
    ):
        assert any(f"{place}: {told}" in line for line in done.err.splitlines()), place


def test_description_that_is_none_is_told(teachers: Path, command: Command) -> None:
    for text, told in (
        ("{", "got: "),
        ('{"model": {}}', "got nothing of outputs, channels, image_size"),
        ("[]", "got no"),
    ):
        (teachers / "generalist.json").write_text(text)
        done = command("validate", "tiny.yaml", *settings(generalist={"from": "generalist.safetensors"}))
        assert done.code == 2
        assert "generalist.json must describe the network of generalist.safetensors; " in done.err
        assert told in done.err


def test_weights_that_are_not_those_of_their_description_are_told(teachers: Path, command: Command) -> None:
    arrays = load_file(teachers / "generalist.safetensors")
    save_file({name: np.full_like(values, 0.5) for name, values in arrays.items()}, teachers / "generalist.safetensors")
    done = command("validate", "tiny.yaml", *settings(generalist={"from": "generalist.safetensors"}))
    assert done.code == 2
    assert "generalist.from: " in done.err
    assert "must have the SHA-256 that generalist.json names, " in done.err


def test_export_of_weights_says_what_there_is(finished: Path, command: Command) -> None:
    done = command("export", "tiny", "--format", "safetensors", "--network", "generalists")
    assert done.err == (
        "--network: must be one of generalist, 0-1, 2-3, student-hard, student-distilled; got 'generalists';"
        " did you mean 'generalist'?\n"
    )
    assert "--to: must end in .safetensors" in command("export", "tiny", "--format", "safetensors", "--to", "a").err
    assert (
        "other networks: --format safetensors"
        in command("export", "tiny", "--format", "onnx", "--network", "generalist").err
    )
    told = json.loads(command("export", "tiny", "--format", "safetensors", "--json").out)
    assert told["file"].endswith("student-distilled.safetensors")
    assert Path(told["description"]).is_file()


def test_runs_with_other_weights_at_the_same_place_are_no_seeds_of_one(teachers: Path, command: Command) -> None:
    first = settings(generalist={"from": "generalist.safetensors"}, specialists={"count": 1}, name="first")
    assert command("run", "tiny.yaml", *first).code == 0
    again = settings(generalist={"from": "generalist.safetensors"}, specialists={"count": 1}, name="again", seed=1)
    assert command("run", "tiny.yaml", *again).code == 0
    assert "seeds: A, B" in command("compare", "first", "again").out
    weights = load_file("generalist.safetensors")
    save_file({name: array * 2 for name, array in weights.items()}, "generalist.safetensors")
    said = json.loads(Path("generalist.json").read_text())
    Path("generalist.json").write_text(json.dumps({name: said[name] for name in said if name != "sha256"}))
    other = settings(generalist={"from": "generalist.safetensors"}, specialists={"count": 1}, name="other", seed=1)
    assert command("run", "tiny.yaml", *other).code == 0
    found = json.loads(command("compare", "first", "other", "--json").out)
    assert len(set(found["settings"]["(given[generalist]: generalist.from.content)"])) == 2
    assert found["seeds"] == []


OTHER_HOLDOUT = "the given generalist was trained on these data without holding out what this run does: figures on the"
UNKNOWN = "nothing says what the given generalist was trained on: if on examples that this run holds out or tests on"


def test_generalist_that_may_know_the_holdout_is_told_of_by_every_command_every_time(
    teachers: Path, command: Command
) -> None:
    same, other = (settings(generalist={"from": "generalist.safetensors"}, seed=seed) for seed in (0, 5))

    def told(*words: str, options: list[str]) -> int:
        done = command(words[0], "tiny.yaml", *options, *words[1:])
        assert done.code == 0, done.err
        return done.out.count(f"warning: {OTHER_HOLDOUT}")

    assert [told(look, options=same) for look in ("validate", "plan")] == [0, 0]
    for is_reused in (False, True):
        assert [told(look, options=other) for look in ("validate", "plan")] == [1, 1]
        assert told("run", options=other) == 1
        (known,) = results(teachers)["given"]
        assert (known["teacher"], known["trained_on"]) == ("generalist", "other_holdout")
        assert known["warning"].startswith(OTHER_HOLDOUT)
        run = newest(teachers / "runs")
        planned = json.loads((run / "plan.json").read_text())["warnings"]
        assert (known["warning"] in planned) == is_reused  # before the data are kept it is not known yet
        assert f"T{known['warning'][1:]}." in (run / "report.html").read_text()
    assert json.loads(command("plan", "tiny.yaml", *other, "--json").out)["warnings"] == [known["warning"]]
    assert f"T{known['warning'][1:]}." in " ".join(command("run", "tiny.yaml", *other).out.split())


def test_other_data_of_a_factory_that_is_read_again_are_told_of(
    teachers: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = factory_of("own.npz", teachers, "own_given", monkeypatch)
    arrays = dict(np.load(teachers / "tiny.npz"))
    np.savez(teachers / "own.npz", **arrays)
    Store.open("another")  # where it could be remembered
    look = ("plan", "tiny.yaml", *settings(generalist={"from": "generalist.safetensors"}))
    changes = ("--set", f"data.source={source}")
    same = command(*look, *changes)
    assert (same.code, same.out.count("warning: the given")) == (0, 0)
    np.savez(teachers / "own.npz", **arrays | {"x_train": arrays["x_train"][::-1]})
    again = command(*look, *changes, "--force", "data")
    assert (again.code, again.out.count("warning: the given generalist was trained on other data")) == (0, 1)


def test_that_nothing_is_known_of_a_generalist_is_told_without_reading_the_data(
    teachers: Path, command: Command
) -> None:
    said = json.loads((teachers / "generalist.json").read_text())
    del said["trained_on"]
    (teachers / "generalist.json").write_text(json.dumps(said))
    options = settings(generalist={"from": "generalist.safetensors"})
    for look in ("validate", "plan"):
        assert f"warning: {UNKNOWN}, figures on these" in command(look, "tiny.yaml", *options).out


def test_one_warning_of_all_teachers_is_answered_by_their_owner(teachers: Path, command: Command) -> None:
    for name in ("generalist", *SPECIALISTS):
        said = json.loads((teachers / f"{name}.json").read_text())
        del said["trained_on"]
        (teachers / f"{name}.json").write_text(json.dumps(said))

    def options(**answers: str) -> list[str]:
        subsets = [{"subset": name.split("-"), "weights": f"{name}.safetensors", **answers} for name in SPECIALISTS]
        return settings(generalist={"from": "generalist.safetensors", **answers}, specialists={"from": subsets})

    done = command("run", "tiny.yaml", *options())
    assert done.code == 0, done.err
    told = "warning: nothing says what the given generalist and specialists for 0, 1; 2, 3 were trained on: if on"
    assert (done.out.count("warning: nothing says"), told in done.out) == (1, True)
    assert {one["trained_on"] for one in results(teachers)["given"]} == {"unknown"}
    answered = options(trained_on="training")
    planned = json.loads(command("plan", "tiny.yaml", *answered, "--json").out)
    assert [step["id"] for step in planned["steps"] if step["action"] == "run"] == ["report"]  # no key is another
    assert planned["warnings"] == []
    done = command("run", "tiny.yaml", *answered)
    assert (done.code, done.out.count("warning: ")) == (0, 0)
    assert [(one["trained_on"], one["warning"]) for one in results(teachers)["given"]] == [("attested", None)] * 3


def test_run_tells_how_good_given_teachers_are_before_students_learn_from_them(
    teachers: Path, command: Command
) -> None:
    arrays = load_file(teachers / "2-3.safetensors")
    head = next(name.removesuffix(".bias") for name in arrays if name.endswith("head.bias"))
    swapped = {name: np.ascontiguousarray(arrays[name][[1, 0, 2]]) for name in (f"{head}.weight", f"{head}.bias")}
    save_file(arrays | swapped, teachers / "swapped.safetensors")
    specialists = {"from": [{"subset": [2, 3], "weights": "swapped.safetensors"}]}
    model = json.loads((teachers / "generalist.json").read_text())["model"]
    generalist = {"from": "generalist.safetensors", "model": model}
    done = command("run", "tiny.yaml", *settings(generalist=generalist, specialists=specialists), "--until", "given")
    assert done.code == 0, done.err
    assert re.search(r"given\[generalist\]: done in \S+ s, accuracy [01]\.\d{3}\n", done.out)
    assert re.search(r"given\[2-3\]: done in \S+ s, accuracy 0\.\d{3}\n", done.out)
    told = (
        r"warning: given\[2-3\]: swapped\.safetensors must do better than guessing; got \d+\.\d% on the holdout among"
    )
    assert re.search(told, done.out)
