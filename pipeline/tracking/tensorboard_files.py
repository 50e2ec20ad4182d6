"""TensorBoard's event files: a folder for each training, which TensorBoard shows as a run of that name.

The records are written with what TensorBoard has for it, as PyTorch's writer does, but without its threads: an event
is small, and a disk that is full is to be seen where it is written to. TensorBoard imports no torch.
"""

import itertools
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.tracking.contract import Ending, Point, Results

_NUMBERS = itertools.count()
"""Set files apart that are made within one second."""


class TensorBoard:
    """Writes what is known of a run as event files.

    Args:
        folder: The run's, made if it is not there.
        config: The resolved config, as YAML.

    Raises:
        OSError: They cannot be written.
    """

    def __init__(self, folder: Path, config: str) -> None:
        self._folder = folder
        self._files: dict[str, EventFile] = {}
        self._news: list[str] = []
        self._fault = ""
        self._append("", 0, time.time(), [_text("config", config)])

    def point(self, point: Point) -> None:
        """Write one epoch of a training."""
        self._write(folder_name(point.task), point.epoch, point.time, _scalars(point.measures))

    def ended(self, ending: Ending) -> None:
        """Close the files of a training: a run may have hundreds."""
        name = folder_name(ending.task)
        if name in self._files:
            self._files.pop(name).close()

    def results(self, results: Results) -> None:
        """Write the measures of each model, beside its training's where it has one."""
        for model, measures in results.measures.items():
            self._write(model, 0, results.time, _scalars({f"test/{name}": measures[name] for name in measures}))

    def news(self) -> list[str]:
        """Return what went wrong since this was asked last."""
        news, self._news = self._news, []
        return news

    def close(self, status: str) -> None:
        """Write how the run ended, and close all files."""
        self._write("", 0, time.time(), [_text("status", status)])
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _write(self, name: str, step: int, now: float, values: list[Any]) -> None:
        if self._fault:
            return
        try:
            self._append(name, step, now, values)
        except OSError as error:
            self._fault = error.strerror or str(error)
            where = f"{self._folder}: TensorBoard's event files cannot be written any more: {self._fault}"
            self._news.append(f"{where}; the run goes on, and what comes now is missing there")

    def _append(self, name: str, step: int, now: float, values: list[Any]) -> None:
        if name not in self._files:
            self._files[name] = EventFile(self._folder / name, now)
        self._files[name].write(step, now, values)


class EventFile:
    """One event file.

    Args:
        folder: Where it is made; so is the folder, if it is not there.
        now: The time of its beginning, in seconds since the epoch.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, folder: Path, now: float) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: PLC0415  # an extra

        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        self._put(wall_time=now, file_version="brain.Event:2")

    def write(self, step: int, now: float, values: list[Any]) -> None:
        """Append an event.

        Args:
            step: Such as the epoch.
            now: When it happened, in seconds since the epoch.
            values: Of TensorBoard's kind `Summary.Value`.

        Raises:
            OSError: It cannot be written.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415  # an extra

        self._put(wall_time=now, step=step, summary=Summary(value=values))

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # what could not be written was told then
            self._file.close()

    def _put(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415  # an extra

        self._records.write(Event(**fields).SerializeToString())
        self._records.flush()


def folder_name(task: str) -> str:
    """Return what the folder of a training is called, such as `specialist-3-5-8`."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", task).strip("-")


def _scalars(measures: Mapping[str, float]) -> list[Any]:
    from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415  # an extra

    return [Summary.Value(tag=name, simple_value=value) for name, value in measures.items()]


def _text(tag: str, text: str) -> Any:
    """Return a text that is shown as it is: TensorBoard takes texts for Markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415  # an extra
    from tensorboard.compat.proto.tensor_pb2 import TensorProto  # noqa: PLC0415
    from tensorboard.plugins.text.metadata import create_summary_metadata  # noqa: PLC0415

    block = "".join(f"    {line}\n" for line in text.splitlines())
    return Summary.Value(
        tag=tag,
        metadata=create_summary_metadata(display_name=tag, description=""),
        tensor=TensorProto(dtype="DT_STRING", string_val=[block.encode()]),
    )
