"""A server that speaks S3, at an address and a port, until it is killed."""

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

APPLICATION = DomainDispatcherApplication(create_backend_app)
ONE_AT_A_TIME = threading.Lock()


def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    # Moto looks and then writes: of two exclusive puts at once both could win.
    with ONE_AT_A_TIME:
        return list(APPLICATION(environ, start_response))


if __name__ == "__main__":
    make_server(sys.argv[1], int(sys.argv[2]), serve, threaded=True).serve_forever()
