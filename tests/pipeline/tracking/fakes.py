"""Logs and servers that remember what they were told, and fail as they are told to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.tracking.contract import Ending, Point, Results


@dataclass
class Remembering:
    """A log."""

    points: list[Point] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    found: list[Results] = field(default_factory=list)
    status: str = ""
    to_tell: list[str] = field(default_factory=list)

    def point(self, point: Point) -> None:
        self.points.append(point)

    def ended(self, ending: Ending) -> None:
        self.endings.append(ending)

    def results(self, results: Results) -> None:
        self.found.append(results)

    def news(self) -> list[str]:
        told, self.to_tell = self.to_tell, []
        return told

    def close(self, status: str) -> None:
        self.status = status


@dataclass
class FakeRun:
    name: str
    tags: dict[str, str]
    parameters: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    status: str = "RUNNING"


@dataclass
class FakeServer:
    """An MLflow in memory; `away` makes every call fail, `refuses` those that name a run of that name."""

    away: bool = False
    refuses: str = ""
    runs: dict[str, FakeRun] = field(default_factory=dict)

    def begin(self, name: str, tags: Mapping[str, str]) -> str:
        self._answer(name)
        self.runs[name] = FakeRun(name, dict(tags))
        return name

    def parameters(self, run: str, values: Mapping[str, str]) -> None:
        self._answer(run)
        self.runs[run].parameters |= values

    def tags(self, run: str, values: Mapping[str, str]) -> None:
        self._answer(run)
        self.runs[run].tags |= values

    def points(self, run: str, points: Sequence[Point]) -> None:
        self._answer(run)
        self.runs[run].points += points

    def file(self, run: str, name: str, text: str) -> None:
        self._answer(run)
        self.runs[run].files[name] = text

    def end(self, run: str, status: str) -> None:
        self._answer(run)
        self.runs[run].status = status

    def may_pass(self, error: Exception) -> bool:
        return isinstance(error, OSError)

    def _answer(self, run: str) -> None:
        if self.away:
            raise ConnectionRefusedError("Connection refused")
        if run == self.refuses:
            raise ValueError(f"no run may be called {run}")
