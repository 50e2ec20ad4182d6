"""Finding the tables of a store, saying what is known of them, and copying them out."""

import importlib
import json
import re

import numpy as np
import pytest
import torch

from pipeline import SoftTargets
from pipeline.cli import targets as commands
from pipeline.errors import ConfigError, StoreError
from pipeline.stage import Artifact
from pipeline.store import Run, Store
from stages import tables
from stages.soft_targets.export import export
from stages.soft_targets.kept import KeptArtifacts

RUN = "tiny-20260102-030405-678"
TEACHERS = ["combined", "generalist", "0-1", "2-3"]


def described(kept, teacher="combined"):
    store = Store.open(kept.location)
    return tables.describe(store, tables.find(store, f"tiny:{teacher}"))


@pytest.mark.parametrize("key", ["tiny", RUN, f"runs/{RUN}", f"runs/{RUN}:combined", "tiny:combined"])
def test_open_finds_a_table_by_any_name_of_its_run(kept, key):
    targets = SoftTargets.open(kept.location, key)
    assert (targets.teacher, len(targets)) == ("combined", 480)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_open_finds_every_teacher(kept, teacher):
    assert kept.open(teacher).teacher == teacher


def test_open_takes_the_newest_run_of_a_name(keep):
    kept = keep(run="again-20260101-000000-000")
    store = Store.open(kept.location)
    keys = store.runs()[0].keys
    store.record_run("again-20260102-000000-000", {task: key for task, key in keys.items() if "[1" not in task})
    assert SoftTargets.open(kept.location, "again").views == [0]
    assert SoftTargets.open(kept.location, "again-20260101-000000-000").views == [0, 1]


def test_open_takes_the_newest_run_that_has_the_table(keep):
    kept = keep(run="again-20260101-000000-000")
    store = Store.open(kept.location)
    store.record_run("again-20260102-000000-000", {"data[train]": store.runs()[0].keys["data[train]"]})
    assert SoftTargets.open(kept.location, "again").views == [0, 1]
    with pytest.raises(ConfigError, match=r"of again-20260101-000000-000 must be one of combined, .*; got '0-7'"):
        SoftTargets.open(kept.location, "again:0-7")
    with pytest.raises(
        ConfigError, match=r"^again-20260102-000000-000 must have made a table; got a run that has not, or not"
    ):
        SoftTargets.open(kept.location, "again-20260102-000000-000")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("tny", r"one of the 1 finished runs in .*; got 'tny'; did you mean 'tiny'"),
        (
            "tiny:generalists",
            r"must be one of combined, generalist, 0-1, 2-3; got 'generalists'; did you mean 'general",
        ),
    ],
)
def test_open_says_what_there_is_instead(kept, key, message):
    with pytest.raises(ConfigError, match=message):
        SoftTargets.open(kept.location, key)


def test_open_makes_no_store(tmp_path):
    with pytest.raises(
        ConfigError,
        match="and found neither: name by the argument `store` what",
    ):
        SoftTargets.open(str(tmp_path), "tiny")
    assert list(tmp_path.iterdir()) == []


def test_store_without_a_run_has_no_table(tmp_path):
    Store.open(str(tmp_path))
    with pytest.raises(ConfigError, match="must be a finished run; got 'tiny'"):
        SoftTargets.open(str(tmp_path), "tiny")


def test_open_says_what_is_no_longer_there(keep):
    kept = keep()
    store = Store.open(kept.location)
    store.discard(store.find(store.runs()[0].keys["combined[1.0]"]), "for the test")
    with pytest.raises(StoreError, match=rf"combined\[1.0\] of {RUN} must be in .*: do the run again"):
        kept.open()


def test_open_says_what_was_made_again_and_is_another(keep):
    kept = keep()
    store = Store.open(kept.location)
    keys = store.runs()[0].keys
    results = {task: store.find(key) for task, key in keys.items()}
    store.record_run("later-20260102-000000-000", keys, {task: result.digest for task, result in results.items()})
    assert len(SoftTargets.open(kept.location, "later")) == len(kept.open())
    data, known = store.load(results["data[train]"]), results["data[train]"]
    store.save(known.recipe, Artifact(data.arrays, {**data.facts, "mean": [0.0]}), seconds=0.0, instead_of=known)
    with pytest.raises(
        StoreError, match=r"^data\[train\] of later-.* must be what that run made .*: do the run again$"
    ):
        SoftTargets.open(kept.location, "later")


def test_reading_says_what_went_missing_since_it_was_opened(keep):
    kept = keep()
    store = Store.open(kept.location)
    key = store.runs()[0].keys["combined[1.0]"]
    targets = kept.open()
    targets._shards._load.cache_clear()
    store.discard(store.find(key), "for the test")
    with pytest.raises(StoreError, match=f"the result {key} must be in"):
        targets.log_probs(300)


def test_kept_artifacts_are_a_sequence(kept):
    store = Store.open(kept.location)
    keys = [store.runs()[0].keys[task] for task in ("views[0]", "views[1]")]
    found = KeptArtifacts(store, keys)
    assert len(found) == 2
    assert [view.facts["view"] for view in found] == [0, 1]
    assert [view.facts["view"] for view in found[1:]] == [1]


def test_tables_are_in_canonical_order_whatever_the_record_has():
    tasks = [
        "targets[b/0.10]",
        "targets[b/0.2]",
        "targets[b/10.0]",
        "targets[generalist/2.0]",
        "combined[0.0]",
        "data[test]",
    ]
    found = tables.tables_of(Run("r", dict.fromkeys(tasks, ""), ""))
    assert [(table.key, table.shards) for table in found] == [
        ("r:combined", ("combined[0.0]",)),
        ("r:generalist", ("targets[generalist/2.0]",)),
        ("r:b", ("targets[b/0.2]", "targets[b/0.10]", "targets[b/10.0]")),
    ]
    assert found[2].views == ("views[0]", "views[10]")


def test_description_holds_all_that_is_known(kept):
    found = described(kept, "2-3")
    assert {name: found[name] for name in ("format", "key", "teacher", "subset", "rows", "examples", "views")} == {
        "format": 1,
        "key": f"{RUN}:2-3",
        "teacher": "2-3",
        "subset": [2, 3],
        "rows": len(kept.open("2-3")),
        "examples": 240,
        "views": [0, 1],
    }
    assert [(shard["view"], shard["start"], shard["stop"]) for shard in found["shards"]] == [
        (0, 0, 150),
        (0, 150, 240),
        (1, 0, 150),
        (1, 150, 240),
    ]
    assert all(len(shard["sha256"]) == len(shard["key"]) == 64 and shard["bytes"] for shard in found["shards"])
    assert set(found["provenance"]["teachers"]) == {"specialist[2-3]"}
    assert found["provenance"]["data"] | {"kept as": ""} == {
        "kind": "npz",
        "digest": "d" * 64,
        "holdout": 0.2,
        "kept as": "",
    }
    assert json.loads(json.dumps(found)) == found


def test_description_of_the_combined_table_names_all_teachers(kept):
    assert set(described(kept)["provenance"]["teachers"]) == {"generalist", "specialist[0-1]", "specialist[2-3]"}


def test_statistics_are_means_over_all_rows(kept):
    probs = kept.open().log_probs(range(480)).exp()
    expected = {"confidence": probs.amax(dim=1).mean(), "entropy": torch.special.entr(probs).sum(dim=1).mean()}
    assert described(kept)["statistics"] == pytest.approx(
        {name: float(value) for name, value in expected.items()}, abs=1e-4
    )
    assert tables.statistics_of([{"rows": 0, "statistics": {}}]) == {}


def test_encoding_of_a_table_has_the_largest_errors_of_its_shards():
    shards = [{"name": "top-k", "k": 3, "because": "b", "kl": {"1": first, "4": 0.2}} for first in (0.1, 0.3)]
    found = tables.encoding_of(shards)
    assert found == {"name": "top-k", "k": 3, "because": "b", "kl": {"1": 0.3, "4": 0.2}}
    assert tables.told({"name": "dense", "because": "no limit is set for the 28 bytes of a dense row"}) == (
        "dense; every class of a row is kept, for targets.bytes_per_row sets no limit"
    )
    assert tables.told(found) == "top-3; loses KL 0.3 at temperature 1, KL 0.2 at temperature 4; b"


@pytest.mark.parametrize("teacher", ["combined", "0-1"])
def test_export_writes_plain_arrays(kept, tmp_path, teacher):
    targets = kept.open(teacher)
    export(targets, described(kept, teacher), tmp_path / "out")
    arrays = {name: np.load(tmp_path / "out" / f"{name}.npy") for name in ("log_probs", "examples", "views")}
    rows = targets.find(arrays["examples"], arrays["views"])
    assert rows.tolist() == list(range(len(targets)))
    assert np.array_equal(arrays["log_probs"], targets.log_probs(rows).numpy())
    assert json.loads((tmp_path / "out" / "table.json").read_text()) == described(kept, teacher)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_export_adds_a_data_card(kept, tmp_path):
    (tmp_path / "out").mkdir()
    export(kept.open("0-1"), described(kept, "0-1"), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    for expected in (
        f"{RUN}:0-1",
        "class 0, class 1, any other class",
        "of views 0, 1 of 240 examples",
        "Licence: unknown",
        "dense",
    ):
        assert expected in card


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_export_replaces_nothing(kept, tmp_path, kind):
    there = tmp_path / "out" / "mine" if kind == "folder" else tmp_path / "out"
    there.parent.mkdir(exist_ok=True)
    there.write_text("mine")
    with pytest.raises(ConfigError, match="must be a new or an empty folder"):
        export(kept.open(), described(kept), tmp_path / "out")
    assert there.read_text() == "mine"


def test_export_that_cannot_be_written_leaves_nothing(kept, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="must be writable; got Not a directory"):
        export(kept.open(), described(kept), tmp_path / "file" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_export_to_parquet(kept, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    targets = kept.open("2-3")
    export(targets, described(kept, "2-3"), tmp_path / "out", "parquet")
    found = parquet.read_table(tmp_path / "out" / "rows.parquet")
    examples, views = targets.ids(range(len(targets)))
    assert found["example"].to_pylist() == examples.tolist()
    assert found["view"].to_pylist() == views.tolist()
    assert np.array_equal(np.array(found["log_probs"].to_pylist(), np.float32), targets.log_probs(range(len(targets))))


def test_export_to_parquet_says_what_to_install(kept, tmp_path):
    def load(name):
        return importlib.import_module(f"not_installed_{name}")

    with pytest.raises(ConfigError, match="pip install pyarrow"):
        export(kept.open(), described(kept), tmp_path / "out", "parquet", load=load)
    assert not (tmp_path / "out").exists()


def test_list_shows_every_table(kept, capsys):
    commands.list_tables(kept.location, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [table["teacher"] for table in found] == TEACHERS
    assert [table["outputs"] for table in found] == [5, 5, 3, 3]
    commands.list_tables(kept.location, as_json=False)
    text = capsys.readouterr().out
    assert all(f"{RUN}:{teacher}" in text for teacher in TEACHERS)


def test_list_shows_a_table_of_several_runs_once(keep, capsys):
    kept = keep()
    store = Store.open(kept.location)
    keys = store.runs()[0].keys
    later = [f"tiny-2026020{day}-000000-000" for day in range(1, 6)]
    for name in later:
        other = {"combined[0.0]": keys["combined[0.1]"]} if name == later[-1] else {}
        store.record_run(name, {**keys, **other})
    commands.list_tables(kept.location, as_json=True)
    found = {table["key"]: table["runs"] for table in json.loads(capsys.readouterr().out)}
    runs = [*reversed(later), RUN]
    assert found == {
        f"{later[-1]}:combined": runs[:1],
        **{f"{later[-1]}:{teacher}": runs for teacher in TEACHERS[1:]},
        f"{later[-2]}:combined": runs[1:],
    }
    commands.list_tables(kept.location, as_json=False)
    text = capsys.readouterr().out
    assert text.count("generalist") == 1
    assert f"  also of {later[-2]}" in text
    assert "  and of 2 more" in text
    commands.show(kept.location, f"{later[0]}:generalist", as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"all its runs {', '.join(runs[:2])}" in shown


@pytest.mark.parametrize("columns", [20, 60, 100])
def test_list_breaks_no_key(keep, capsys, monkeypatch, columns):
    kept = keep()
    store = Store.open(kept.location)
    other = "tiny-and-of-a-name-that-is-long-20260201-000000-000"
    store.record_run(other, store.runs()[0].keys)
    commands.list_tables(kept.location, as_json=False)
    in_rows = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", str(columns))
    commands.list_tables(kept.location, as_json=False)
    told = capsys.readouterr().out
    keys = [f"{other}:{teacher}" for teacher in TEACHERS]
    assert [line.split()[0] for line in told.splitlines() if line.startswith(other)] == keys
    assert f"  also of {RUN}" in told
    assert re.search(r"^table +rows +outputs +bytes +encoding *\n", in_rows)
    assert (told == in_rows) == (columns == 100)
    assert (re.search(r":combined\n  [\d,]+ rows, 5 outputs, [\d,]+ bytes, dense\n", told) is None) == (columns == 100)


def test_list_shows_a_table_that_is_no_longer_whole_beside_the_others(keep, capsys):
    kept = keep({"combined[0.0]": Artifact(facts={"teacher": "combined"})})
    commands.list_tables(kept.location, as_json=True)
    damaged, *others = json.loads(capsys.readouterr().out)
    assert "format of a soft-target table must be 1; got none" in damaged["fault"]
    assert [table["teacher"] for table in others] == TEACHERS[1:]
    commands.list_tables(kept.location, as_json=False)
    assert "do the run again" in " ".join(capsys.readouterr().out.split())


def test_list_tells_which_record_of_a_run_is_damaged(keep, capsys):
    kept = keep()
    store = Store.open(kept.location)
    store.record_run("other-20260102-000000-000", store.runs()[0].keys)
    store.files.replace(f"runs/{RUN}.json", b"{}")
    commands.list_tables(kept.location, as_json=True)
    told = capsys.readouterr()
    assert f"runs/{RUN}.json is damaged" in told.err
    assert [table["runs"] for table in json.loads(told.out)] == [["other-20260102-000000-000"]] * 4


def test_shard_without_arrays_is_told(keep):
    kept = keep({"combined[0.0]": Artifact(facts=keep().artifacts["combined[0.0]"].facts)})
    with pytest.raises(StoreError, match=r"a shard must hold arrays\.safetensors"):
        described(kept)


def test_list_of_an_empty_store_says_so(tmp_path, capsys):
    Store.open(str(tmp_path))
    commands.list_tables(str(tmp_path), as_json=False)
    assert "no finished run has made a table" in " ".join(capsys.readouterr().out.split())


def test_show_tells_all_that_is_known(kept, capsys):
    commands.show(kept.location, "tiny:0-1", as_json=True)
    assert json.loads(capsys.readouterr().out) == described(kept, "0-1") | {"runs": [RUN]}
    commands.show(kept.location, "tiny:0-1", as_json=False)
    text = capsys.readouterr().out
    for expected in (f"{RUN}:0-1", "3: class 0, class 1, any other class", "in 4 shards", "prior correction"):
        assert expected in text


def test_export_command_says_what_it_wrote(kept, tmp_path, capsys):
    commands.export(kept.location, "tiny", tmp_path / "out", "npy", as_json=False)
    assert "480 rows of" in capsys.readouterr().out
    commands.export(kept.location, "tiny", tmp_path / "other", "npy", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 480
    assert set(told["files"]) == {"README.md", "table.json", "log_probs.npy", "examples.npy", "views.npy"}


def test_export_command_knows_its_forms(kept, tmp_path):
    with pytest.raises(ConfigError, match=r"--format: must be npy or parquet; got 'parket'; did you mean 'parquet'\?"):
        commands.export(kept.location, "tiny", tmp_path / "out", "parket", as_json=False)


def test_package_offers_what_python_users_need():
    import pipeline  # noqa: PLC0415

    assert {"SoftTargets", "combine", "load_student"} <= set(pipeline.__all__)
    assert [getattr(pipeline, name).__name__ for name in pipeline.__all__] == pipeline.__all__
    with pytest.raises(AttributeError, match="has no attribute 'anything'"):
        _ = pipeline.anything
