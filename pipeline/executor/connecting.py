"""Ray itself, and how this process gets into touch with it. The only module that imports it."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)


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

    if loopback:  # also where it had been imported before, to join somebody's
        ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # noqa: SLF001
    # Ray prints what befalls its processes into the middle of what is shown; our own events tell it.
    ray._private.worker.print_to_stdstream = _say_nothing  # noqa: SLF001
    return ray


class Connection:
    """This process in touch with a Ray, once.

    A start that is interrupted half-way leaves processes behind, and Ray's handler of SIGTERM, which it installs in the
    main thread only, interrupts it. Ray's processes end with the thread that started them: it is kept.

    Somebody's Ray that is joined, on the other hand, may never answer, and Ray itself then asks for ever: that is
    waited for in vain no longer than is said, and Ctrl-C ends it at once.

    Args:
        ray: The module.
        patience: Seconds that a Ray to be joined has for its answer; None for one that is started here.
        options: What `ray.init` takes.

    Raises:
        TimeoutError: It has not answered.
        Exception: Whatever Ray raises.
    """

    def __init__(self, ray: Any, *, patience: float | None = None, **options: Any) -> None:
        self._ray = ray
        self._begun: Future[None] = Future()
        self._is_over = threading.Event()
        # A daemon: a thread that still asks is no reason for this process not to end.
        self._thread = threading.Thread(target=self._hold, args=(options,), daemon=True)
        self._thread.start()
        try:
            with signals_put_off() if patience is None else _handlers_kept():
                self._begun.result(patience)
        except BaseException as error:
            if self._begun.done():
                self.close()
            self._is_over.set()
            if isinstance(error, TimeoutError) and not self._begun.done():
                raise TimeoutError(f"no answer within {patience:g} seconds") from None
            raise

    def close(self) -> None:
        """Part from it; what it started with this process ends."""
        self._ray.shutdown()
        self._is_over.set()
        self._thread.join()

    def _hold(self, options: dict[str, Any]) -> None:
        try:
            _init(self._ray, options)
            if self._is_over.is_set():  # it was given up meanwhile
                self._ray.shutdown()
        except BaseException as error:  # noqa: BLE001  # whoever waits raises it
            self._begun.set_exception(error)
        else:
            self._begun.set_result(None)
        self._is_over.wait()


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
    with _handlers_kept():
        for stop in STOPS:
            signal.signal(stop, lambda number, _: came.append(number))
        yield
    if came:
        signal.raise_signal(signal.Signals(came[0]))


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Have the handlers of Ctrl-C and SIGTERM back after the block, in which Ray may install some below Python's."""
    former = {stop: signal.getsignal(stop) for stop in STOPS}
    try:
        yield
    finally:
        for stop, handler in former.items():
            signal.signal(stop, handler)


def current_cluster() -> str:
    """Return the address of the cluster that `ray start` has made this machine a part of; nothing where it has not."""
    from ray._private.utils import read_ray_address  # noqa: PLC0415

    return read_ray_address() or ""


def _init(ray: Any, options: dict[str, Any]) -> None:
    # Ray would warn that it does not install its handler of SIGTERM.
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)


def _say_nothing(*_: object, **__: object) -> None:
    """Take the place of what prints."""
