"""A cluster of three hosts, each in a network namespace: a store that they reach over S3, and one that they do not."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.events import read_events
from tests.pipeline.cli.conftest import make_project, newest
from tests.pipeline.executor.hosts import CannotError, Hosts


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    pytest.importorskip("moto")
    made = Hosts()
    made.environment |= {
        "AWS_ENDPOINT_URL": "http://10.77.0.1:5555",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "XDG_CACHE_HOME": "/tmp/cache",
    }
    try:
        try:
            made.connect()
        except CannotError as error:
            pytest.skip(f"hosts cannot be made here: {error}")
        made.spawn(0, sys.executable, str(Path(__file__).with_name("serve_s3.py")), "10.77.0.1", "5555")
        made.start_ray()
        yield made
    finally:
        made.close()


def pipeline(hosts: Hosts, project: Path, *settings: str) -> "tuple[int, str, str]":
    options = [f"--set={setting}" for setting in ("ray.address=auto", *settings)]
    done = hosts.run(sys.executable, "-m", "pipeline", "run", "tiny.yaml", *options, cwd=project)
    return done.returncode, done.stdout, done.stderr


def test_a_store_that_other_hosts_do_not_see_is_refused_with_their_names(hosts: Hosts, tmp_path: Path) -> None:
    code, _, err = pipeline(hosts, make_project(tmp_path))
    store = tmp_path / "store"
    fault = f"the store {store} must be the same as here; got another one, or none: name a store that all nodes share"
    assert code == 2, err
    first, *faults = sorted(err.splitlines(), key=lambda line: line.startswith("node"))
    assert first == "ray.address auto cannot do this run:"
    assert len(faults) == 2
    for index, line in zip((1, 2), sorted(faults), strict=True):
        assert line.startswith(f"node {hosts.name(index)} (10.77.0.{index + 1}): {fault}")


def test_a_store_over_s3_serves_all_hosts_and_data_comes_from_the_one_that_has_it(hosts: Hosts, tmp_path: Path) -> None:
    project = make_project(tmp_path)
    made = "import s3fs; s3fs.S3FileSystem().mkdir('hosts')"
    assert hosts.run(sys.executable, "-c", made, cwd=project).returncode == 0
    pinned = 'ray.resources.data.custom={"node:10.77.0.1": 0.01}'
    code, out, err = pipeline(hosts, project, "store=s3://hosts/store", pinned)
    assert (code, err) == (0, ""), out
    told = list(read_events(newest(project / "runs") / "events.jsonl"))
    where = {event["task"]: event["node"] for event in told if "node" in event}
    assert where["data[train]"] == where["data[test]"] == f"{hosts.name(0)} (10.77.0.1)"
    assert len(set(where.values())) > 1
