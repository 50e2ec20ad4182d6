"""`run`: does a run, shows it while it goes on, and keeps its record."""

import json
import os
import signal
import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from pipeline.cli import given, imports, logged, planned
from pipeline.cli.compose import Composition, compose
from pipeline.cli.outlook import Outlook, Watch
from pipeline.cli.selection import DATA, Selection
from pipeline.cli.tables import say, show_results
from pipeline.config import dump
from pipeline.display import display
from pipeline.errors import ConfigError, Interrupted, RoomError, StageError, StoreError
from pipeline.events import EventLog, Events
from pipeline.executor import start
from pipeline.runner import Runner
from pipeline.runs import CONFIG, EVENTS, LOGS, PLAN, RunFolder
from pipeline.store import Hold
from pipeline.store.processes import temporary_name
from stages.parameters import resolved


def execute(config: Path, overrides: Sequence[str], selection: Selection) -> None:
    """Do the run of a config file, from its first event to its table.

    Raises:
        PipelineError: The config is wrong, a stage failed, or the run was interrupted.
    """
    with interruptible():
        console = Console()
        # Files of the data that are new are read for their digest.
        with (
            console.status("reading the config and what identifies the data") if console.is_terminal else nullcontext()
        ):
            composition = compose(config, overrides, make=True, reach=True, anew=DATA in selection.force)
        planned.check_inputs(composition, selection)
        composition.store.sweep()
        imports.use(composition.store, composition.imported)
        folder = _new_folder(composition)
        folder.write(CONFIG, dump(resolved(composition.config)))
        if console.is_terminal:  # elsewhere the first line says it
            say(f"run in {folder.path}")
        with (
            _kept_if_begun(folder),
            closing(EventLog(folder.path / EVENTS)) as log,
            display(console) as shown,
        ):
            files = _run(composition, selection, folder, Events(log, shown, folder.keep_tracebacks))
        if "results.json" in files:
            show_results(console, json.loads(files["results.json"]))
            say(f"report: {folder.path / 'report.html'}")
            name = composition.config.name
            say(f"then: python -m pipeline predict {name} IMAGE...")
        else:
            say(f"done, as far as was asked for: {selection.until}")


def _new_folder(composition: Composition) -> RunFolder:
    """Make the run's folder.

    Raises:
        ConfigError: It cannot be made where the config says.
    """
    try:
        return RunFolder.create(Path(composition.config.runs), composition.config.name)
    except StoreError as error:
        raise composition.loaded.error([(("runs",), str(error))]) from error


def _run(composition: Composition, selection: Selection, folder: RunFolder, events: Events) -> dict[str, bytes]:
    """Do the run, and return the files of its folder."""
    settings, store = composition.config, composition.store
    graph = composition.graph(selection.until)
    scope = replace(selection.scope(list(graph.stages)), droppable=composition.droppable)
    store.on_damage = lambda message: events.tell("warning", message=message)
    recorded = _recorded(
        folder,
        events,
        store=_from(folder, settings.store),
        ray=settings.ray.address,
        stages=list(graph.stages),
        wanted=scope.stages,
    )
    with recorded, logged.during(composition, folder, events) as tracking, composition.placing():
        plan = planned.look(composition, graph, scope)
        folder.write(PLAN, json.dumps(plan.as_json(composition), indent=2))
        outlook = Outlook(composition, graph, scope.stages)
        hold = Hold(store, folder.path.name)
        runner = Runner(
            settings.name,
            settings.seed,
            graph,
            store,
            scope,
            events,
            start=lambda: start(settings.ray, events.tell, composition.needs(scope.stages)),
            checkpoint_seconds=settings.checkpoint_seconds,
            claim=hold.add,
            config=dump(resolved(settings)),
            look_ahead=Watch(
                outlook, store.location, settings.ray, events, beside=partial(given.warnings_of, composition, graph)
            ),
            measure=outlook.measure,
            run_name=folder.path.name,
        )
        files = runner.run()
        for name, content in files.items():
            folder.write(name, content)
        store.record_run(folder.path.name, runner.keys(), runner.digests())
        hold.release()
        logged.tell_results(tracking, files, runner.keys())
    return files


@contextmanager
def _kept_if_begun(folder: RunFolder) -> Iterator[None]:
    """Delete the folder of a run that is refused before any work, as by a cluster that cannot do it.

    One that fails before any work, such as by a store that cannot be read, is kept: `status` says why.

    Raises:
        ConfigError: As it was raised within; likewise RoomError.
    """
    try:
        yield
    except (ConfigError, RoomError):
        try:
            if folder.discard_unbegun():
                say(f"nothing was begun: {folder.path} is deleted again")
        except OSError as error:
            say(f"nothing was begun, but {folder.path} cannot be deleted: {error.strerror}")
        raise


@contextmanager
def _recorded(
    folder: RunFolder, events: Events, *, store: str, ray: str, stages: Sequence[str], wanted: Collection[str]
) -> Iterator[None]:
    """Tell that a run begins, and how it ended, whatever happens.

    Args:
        folder: The run's.
        events: Told of it.
        store: Where its results are kept, seen from its folder.
        ray: Where its tasks run.
        stages: All stages, in order.
        wanted: Those that the run is to do.

    Raises:
        StageError: As it was raised within, with what to do about it.
    """
    events.tell(
        "run_started",
        process=temporary_name(),
        host=socket.gethostname(),
        folder=str(folder.path),
        began_in=os.path.relpath(Path.cwd(), folder.path.resolve()),  # which is moved with it, as the store is
        store=store,
        ray=ray,
        stages=stages,
        undecided=[name for name in stages if name in wanted],
    )
    status, fault = "failed", ""
    try:
        yield
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except Exception as error:
        fault = str(error) or type(error).__name__
        if isinstance(error, StageError):
            fault += _advice(folder)
            raise StageError(fault) from error
        raise
    finally:
        events.tell("run_ended", status=status, fault=fault)


def _from(folder: RunFolder, store: str) -> str:
    """Return a store's location as seen from a run's folder, so that a relative one may be moved with it."""
    return store if "://" in store or Path(store).is_absolute() else os.path.relpath(store, folder.path)


def _advice(folder: RunFolder) -> str:
    """Return what to do about a stage's fault."""
    logs = sorted((folder.path / LOGS).glob("*"))
    if not logs:
        return ""
    where = f"traceback: {logs[0]}" if len(logs) == 1 else f"tracebacks: {folder.path / LOGS}"
    return f"\n{where}\nwhat is done is kept: when the cause is gone, the same command goes on from there"


_STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into an exception in the main thread, so that everything is put away on the way out.

    Raises:
        Interrupted: Either signal came.
    """
    came: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        came.append(number)
        for other in _STOPS:
            signal.signal(other, signal.SIG_IGN)  # a second one must not disturb the putting away
        # Not a PipelineError: where this arrives may be in the middle of a stage, whose errors become faults.
        raise KeyboardInterrupt

    former = {number: signal.signal(number, interrupt) for number in _STOPS}
    try:
        yield
    except KeyboardInterrupt:
        names = " and ".join(signal.Signals(number).name for number in came)
        raise Interrupted(f"stopped by {names}; run the same command again to go on from here") from None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
