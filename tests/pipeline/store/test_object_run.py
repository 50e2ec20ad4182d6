import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from pipeline.cli import main
from pipeline.store import Store, verify
from pipeline.store.manifest import object_path
from pipeline.store.places import cache_folder
from tests.pipeline.cli.conftest import make_project, newest, without_times


def results(folder):
    return json.loads((newest(folder / "runs") / "results.json").read_text())


def test_a_run_with_its_store_in_an_object_store(bucket, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(make_project(tmp_path))
    assert main(["run", "tiny.yaml"]) == 0
    in_a_folder = results(tmp_path)

    command = ["run", "tiny.yaml", "--set", f"store={bucket}"]
    assert main(command) == 0
    assert without_times(results(tmp_path)) == without_times(in_a_folder)
    assert results(tmp_path)["reused"] == []

    # What another machine would find: nothing but what is in the object store, here damaged.
    shutil.rmtree(cache_folder())
    store = Store.open(bucket)
    (manifest,) = (
        found
        for found in (store.find(Path(path).stem) for path in store.files.names("manifests"))
        if found.recipe["stage"] == "evaluate"
    )
    facts = manifest.object("facts.json")
    damaged = object_path(facts.sha256)
    store.files.replace(damaged, b"x" * facts.bytes)
    assert [fault.path for fault in verify(store)] == [damaged]
    capsys.readouterr()
    assert main(command) == 0
    assert f"{damaged} does not match the digest it is named by" in capsys.readouterr().out
    assert without_times(results(tmp_path)) == without_times(in_a_folder)
    assert "evaluate" not in results(tmp_path)["reused"]
    assert verify(store) == store.files.names("temporary") == []


def test_a_killed_run_goes_on_from_an_object_store(bucket, tmp_path, monkeypatch):
    command = [sys.executable, "-m", "pipeline", "run", "tiny.yaml", "--set", f"store={bucket}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    make_project(tmp_path)
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    store = Store.open(bucket)
    while process.poll() is None and len(store.files.names("manifests")) < 4:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert verify(store) == []
    there = len(store.files.names("manifests"))
    monkeypatch.chdir(tmp_path)
    assert main(command[3:]) == 0
    assert len(results(tmp_path)["reused"]) == there >= 4
