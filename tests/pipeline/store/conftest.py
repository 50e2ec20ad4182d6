import logging
import os
import secrets
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pipeline.recipe import key_of
from pipeline.stage import Artifact
from pipeline.store import Store
from tests.waiting import PATIENCE


@pytest.fixture
def store(tmp_path):
    return Store.open(str(tmp_path / "store"))


@pytest.fixture
def recipe():
    return {"stage": "generalist", "seed": 1}


@pytest.fixture
def artifact():
    return Artifact({"weights": np.arange(100, dtype=np.float32)}, {"accuracy": 0.9})


@pytest.fixture
def small_store(store, recipe, artifact):
    """A store with one of everything."""
    other = {"stage": "subsets", "seed": 2}
    store.save(recipe, artifact, seconds=1.5)
    store.save(other, Artifact(facts={"subsets": [[3, 5], [4, 9]]}), seconds=0.1)
    store.record_run("digits-1", {"generalist": key_of(recipe), "subsets": key_of(other)})
    store.remember("digest of data/x.npz", "abc")
    return store


@pytest.fixture
def small_disk(make_disk):
    """A folder that is a filesystem of 256 KiB."""
    return make_disk("size=256k")


@pytest.fixture(scope="session")
def s3_server():
    """A server that speaks S3, on loopback, and the environment in which it is found."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    serving = pytest.importorskip("werkzeug.serving")
    moto = pytest.importorskip("moto.moto_server.werkzeug_app")
    application = moto.DomainDispatcherApplication(moto.create_backend_app)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # One request at a time: moto looks and then writes, so with threads two exclusive puts could both win.
    server = serving.make_server("127.0.0.1", 0, application, request_handler=moto.MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "tester")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def bucket(s3_server, tmp_path, monkeypatch):
    """The address of an empty place in an object store; copies of what is read go to a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = f"bucket-{secrets.token_hex(4)}"
    pytest.importorskip("s3fs").S3FileSystem(use_listings_cache=False).mkdir(name)
    return f"s3://{name}/some/prefix"


@pytest.fixture
def run_script():
    """Run a script beside this file in a fresh interpreter of one thread; return what it printed."""

    def run(name, *arguments):
        here, root = Path(__file__).parent, Path(__file__).parents[3]
        environment = {**os.environ, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "error", str(here / name), *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
