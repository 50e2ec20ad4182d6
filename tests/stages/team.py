"""Two processes for tests of what trains together."""

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from pipeline.stage import Team
from tests.waiting import wait_until

SIZE = 2


@dataclass(frozen=True)
class Place:
    """A file in which the first says where it is."""

    path: Path

    def __call__(self, place: str) -> str:
        if place:
            written = self.path.with_suffix(".new")
            written.write_text(place)
            written.rename(self.path)
            return place
        wait_until(self.path.exists, "the first must say where it is")
        return self.path.read_text()


def in_each(
    pool: ProcessPoolExecutor, folder: Path, function: Callable[..., Any], *arguments: Any
) -> list[Future[Any]]:
    """Have each of two processes call a function with its team and arguments; return what they come to, by rank."""
    place = Place(folder / f"place-{len(list(folder.iterdir()))}")
    place.path.with_suffix(".asked").touch()
    return [pool.submit(_call, Team(rank, SIZE, meet=place), function, arguments) for rank in range(SIZE)]


def _call(team: Team, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    torch.set_num_threads(1)
    try:
        return function(team, *arguments)
    finally:
        if dist.is_initialized():  # as it is left where something went wrong
            dist.destroy_process_group()
