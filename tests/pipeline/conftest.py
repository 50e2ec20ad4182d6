import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class HttpServer:
    """The few answers of an MLflow server on this machine that a run needs, until it is told to fail.

    Attributes:
        asked: The path and the content of every request.
        status: What it answers, if not 200.
        fails_at: Tells of a request's path and content whether it fails from there on.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.status = 200
        self.fails_at: Callable[[str, Any], object] = lambda path, content: False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_PUT(self) -> None:
                self._answer()

            def log_message(self, *_: object) -> None:
                pass

            def _answer(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                is_file = self.command == "PUT"
                status, found = outer.answer(self.path, content if is_file else json.loads(content or "{}"))
                self.send_response(status)
                body = json.dumps(found).encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, path: str, content: Any) -> tuple[int, Any]:
        self.asked.append((path, content))
        if self.fails_at(path, content):
            self.status = 503
        if self.status != 200:
            code = "TEMPORARILY_UNAVAILABLE" if self.status == 503 else "PERMISSION_DENIED"
            return self.status, {"error_code": code, "message": "not for you"}
        if "get-by-name" in path:
            return 200, {"experiment": {"experiment_id": "1", "name": "tiny", "lifecycle_stage": "active"}}
        if "runs/create" in path or "runs/get" in path:
            run = {"run_id": f"r{len(self.asked)}", "artifact_uri": "mlflow-artifacts:/1/r/artifacts"}
            return 200, {"run": {"info": run, "data": {}}}
        return 200, {}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def mlflow_http(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """A server that MLflow's client takes for an MLflow, and asks only once."""
    pytest.importorskip("mlflow", reason="needs the extra `mlflow`")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = HttpServer()
    yield server
    server.close()


@pytest.fixture
def mlflow_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MLflow use a folder, which it must be told to."""
    pytest.importorskip("mlflow", reason="needs the extra `mlflow`")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
