"""Ray itself, and how this process gets into touch with it. The only module that imports it."""

import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any


def import_ray(*, loopback: bool) -> Any:
    """Return the module `ray`, imported late: 0.3 s that a run with nothing to do does not pay.

    Args:
        loopback: Whether a Ray that is started here must listen on the loopback interface alone.
    """
    # All of these are read when Ray is imported. Without the first a local Ray listens on every interface; with it
    # nobody on another machine could reach this process.
    if loopback:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Read in the workers: a task that takes no GPU sees those that are visible here. Stated because an earlier Ray
    # hides them unless it is, and warns.
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    # What becomes of every task is told by our own events; of workers that are ended with their task nobody asks.
    os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"
    with signals_put_off():
        import ray  # noqa: PLC0415
        import ray.util  # noqa: PLC0415
        import ray.util.scheduling_strategies  # noqa: PLC0415

    # Ray prints what befalls its processes into the middle of what is shown; our own events tell it.
    ray._private.worker.print_to_stdstream = _say_nothing  # noqa: SLF001
    return ray


class Connection:
    """This process in touch with a Ray, once.

    A start that is interrupted half-way leaves processes behind, and Ray's handler of SIGTERM, which it installs in the
    main thread only, interrupts it. Ray's processes end with the thread that started them: it is kept.

    Args:
        ray: The module.
        options: What `ray.init` takes.

    Raises:
        Exception: Whatever Ray raises.
    """

    def __init__(self, ray: Any, **options: Any) -> None:
        self._ray = ray
        self._thread = ThreadPoolExecutor(1)
        try:
            with signals_put_off():
                self._thread.submit(_init, ray, options).result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Part from it; what it started with this process ends."""
        self._ray.shutdown()
        self._thread.shutdown()


def ask_for_nodes(bundles: list[dict[str, float]]) -> None:
    """Have a cluster start nodes until these would fit all at once; an empty list takes that back. Runs in a worker."""
    from ray.autoscaler.sdk import request_resources  # noqa: PLC0415

    request_resources(bundles=bundles)


def this_node() -> str:
    """Return Ray's id of the node that this worker is on."""
    import ray  # noqa: PLC0415

    node: str = ray.get_runtime_context().get_node_id()
    return node


def this_address() -> str:
    """Return the address of the node that this worker is on."""
    import ray.util  # noqa: PLC0415

    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


def got(reference: Any) -> Any:
    """Return what a reference stands for, in a worker."""
    import ray  # noqa: PLC0415

    return ray.get(reference)


@contextmanager
def signals_put_off() -> Iterator[None]:
    """Deliver Ctrl-C and SIGTERM after the block, not in it."""
    came: list[int] = []
    former = {stop: signal.getsignal(stop) for stop in (signal.SIGINT, signal.SIGTERM)}
    for stop in former:
        signal.signal(stop, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for stop, handler in former.items():
            signal.signal(stop, handler)
    if came:
        signal.raise_signal(signal.Signals(came[0]))


def _init(ray: Any, options: dict[str, Any]) -> None:
    # Ray would warn that it does not install its handler of SIGTERM.
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)


def _say_nothing(*_: object, **__: object) -> None:
    """Take the place of what prints."""
