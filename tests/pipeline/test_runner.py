import random
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StageError, StoreError
from pipeline.events import Events
from pipeline.executor import InlineExecutor
from pipeline.graph import Graph
from pipeline.recipe import key_of
from pipeline.runner import MAX_REPAIRS, Runner, Scope
from pipeline.store import Store
from pipeline.store.checkpoints import KeptCheckpoint
from pipeline.store.manifest import Manifest, object_path
from pipeline.store.work import WorkClaims
from pipeline.worker import Job
from tests.pipeline.fakes import CALLS, STAGES, Parameters

ALL = frozenset(stage.name for stage in STAGES)


def make_runner(folder: Path, parameters: Parameters | None = None, *, seed: int = 0, **scope: Any) -> Runner:
    CALLS.made.clear()
    told: list[Mapping[str, Any]] = []
    store = Store.open(str(folder))
    runner = Runner(
        "numbers",
        seed,
        Graph(STAGES, parameters or Parameters(), seed=seed, store=store, known={}),
        store,
        Scope(**({"stages": ALL} | scope)),
        Events(told.append),
        start=lambda: InlineExecutor(lambda event, **facts: told.append({"event": event, **facts})),
    )
    runner.told = told  # type: ignore[attr-defined]
    return runner


def events_of(runner: Runner, kind: str) -> list[Mapping[str, Any]]:
    return [event for event in runner.told if event["event"] == kind]  # type: ignore[attr-defined]


def test_run_does_every_task_once_and_writes_the_page(tmp_path: Path) -> None:
    files = make_runner(tmp_path).run()
    assert CALLS.made == ["base", "parts[1]", "parts[2]", "parts[3]", "total"]
    assert files == {"page.txt": b"66 reused 0"}


def test_second_run_computes_nothing_and_starts_no_executor(tmp_path: Path) -> None:
    make_runner(tmp_path).run()
    runner = make_runner(tmp_path)
    assert runner.run() == {"page.txt": b"66 reused 5"}
    assert CALLS.made == []
    assert not events_of(runner, "executor_starting")
    assert [event["task"] for event in events_of(runner, "task_reused")] == [
        "base", "parts[1]", "parts[2]", "parts[3]", "total",
    ]  # fmt: skip


def test_changed_parameter_redoes_what_depends_on_it(tmp_path: Path) -> None:
    make_runner(tmp_path).run()
    assert make_runner(tmp_path, Parameters(add=11)).run() == {"page.txt": b"69 reused 1"}
    assert CALLS.made == ["parts[1]", "parts[2]", "parts[3]", "total"]


def test_one_more_number_costs_one_more_part(tmp_path: Path) -> None:
    # Facts of `base` decide the parts; its arrays go into each of them, so here the old parts are kept only where the
    # content they read is the same.
    make_runner(tmp_path, Parameters(numbers=(3, 3))).run()
    make_runner(tmp_path, Parameters(numbers=(3, 3))).run()
    assert CALLS.made == []


def test_failed_task_is_named_and_its_siblings_finish(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, Parameters(fail_on=1))
    with pytest.raises(StageError, match=r"^parts\[1\]: the number must not be 1$"):
        runner.run()
    assert CALLS.made == ["base", "parts[1]", "parts[2]", "parts[3]"]
    (failure,) = events_of(runner, "task_failed")
    assert "make_part" in failure["details"]


def test_failed_page_is_a_fault_of_its_stage_and_all_results_are_kept(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, Parameters(fail_page=True))
    with pytest.raises(StageError, match=r"^page: KeyError: 'colour'$"):
        runner.run()
    (failure,) = events_of(runner, "task_failed")
    assert "write_page" in failure["details"]
    assert make_runner(tmp_path).run() == {"page.txt": b"66 reused 5"}


def test_next_run_retries_the_failed_task_alone(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, Parameters(fail_on=1))
    with pytest.raises(StageError):
        runner.run()
    again = make_runner(tmp_path, Parameters(fail_on=1))
    with pytest.raises(StageError):
        again.run()
    assert CALLS.made == ["parts[1]"]


def test_force_redoes_a_stage_and_reuses_what_follows_from_equal_content(tmp_path: Path) -> None:
    make_runner(tmp_path).run()
    files = make_runner(tmp_path, fresh=frozenset({"base"})).run()
    assert CALLS.made == ["base"]
    assert files == {"page.txt": b"66 reused 4"}


def test_force_that_is_interrupted_has_lost_nothing(tmp_path: Path) -> None:
    class Interrupted(InlineExecutor):
        def submit(self, job: Job) -> None:
            raise KeyboardInterrupt

    before = make_runner(tmp_path)
    before.run()
    runner = make_runner(tmp_path, fresh=frozenset({"base"}))
    runner.start = lambda: Interrupted(lambda task, facts: None)
    with pytest.raises(KeyboardInterrupt):
        runner.run()
    again = make_runner(tmp_path)
    assert again.run() == {"page.txt": b"66 reused 5"}
    assert again.graph.results == before.graph.results


def test_only_asks_for_inputs_that_are_not_there(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, stages=frozenset({"total"}))
    with pytest.raises(StageError, match=r"total: .* missing are base: run without --only first"):
        runner.run()
    assert CALLS.made == []


def test_only_does_its_stage_from_inputs_in_the_store(tmp_path: Path) -> None:
    make_runner(tmp_path, stages=frozenset({"base", "parts"})).run()
    make_runner(tmp_path, stages=frozenset({"total"})).run()
    assert CALLS.made == ["total"]


def test_seed_changes_every_task(tmp_path: Path) -> None:
    make_runner(tmp_path, seed=0).run()
    make_runner(tmp_path, seed=1).run()
    assert len(CALLS.made) == 5


@pytest.mark.parametrize("seed", range(10))
def test_damaged_object_is_made_again_and_the_result_is_the_same(tmp_path: Path, seed: int) -> None:
    make_runner(tmp_path).run()
    objects = sorted(path for path in (tmp_path / "objects").rglob("*") if path.is_file())
    victim = random.Random(seed).choice(objects)
    victim.chmod(0o644)
    victim.write_bytes(b"\0" * victim.stat().st_size)
    files = make_runner(tmp_path, Parameters(add=11)).run()
    assert files["page.txt"].startswith(b"69 ")
    assert make_runner(tmp_path).run()["page.txt"].startswith(b"66 ")


def spoil(folder: Path, manifest: Manifest) -> None:
    """Change the bytes of a result's arrays, not their number, which would be seen at the first look."""
    arrays = manifest.object("arrays.safetensors")
    assert arrays is not None
    path = folder / object_path(arrays.sha256)
    path.chmod(0o644)
    path.write_bytes(b"\0" * arrays.bytes)


def test_damage_that_many_tasks_read_is_told_and_mended_once(tmp_path: Path) -> None:
    numbers = tuple(range(MAX_REPAIRS + 2))
    first = make_runner(tmp_path, Parameters(numbers=numbers))
    first.run()
    spoil(tmp_path, first.graph.results["base"])
    runner = make_runner(tmp_path, Parameters(numbers=numbers, add=11))
    runner.run()
    assert CALLS.made.count("base") == 1
    assert sum("made again" in event["message"] for event in events_of(runner, "warning")) == 1


def test_store_that_keeps_spoiling_a_result_is_called_unreliable(tmp_path: Path) -> None:
    runner = make_runner(tmp_path)
    start = runner.start

    def spoiling() -> InlineExecutor:
        executor = start()
        submit = executor.submit

        def spoil_first(job: Job) -> None:
            if job.task.stage == "parts":
                spoil(tmp_path, runner.graph.results["base"])
            submit(job)

        executor.submit = spoil_first  # type: ignore[method-assign]
        return executor

    runner.start = spoiling
    with pytest.raises(StoreError, match="for the 4th time: the store does not keep what it is given"):
        runner.run()
    assert CALLS.made.count("base") == MAX_REPAIRS + 1


def test_result_that_is_saved_while_its_task_runs_is_not_called_reused(tmp_path: Path) -> None:
    runner = make_runner(tmp_path)
    start = runner.start

    def slow() -> InlineExecutor:
        executor = start()
        work, late = executor.wait, []

        def wait() -> list[Any]:
            if not late:
                late.extend(work())
                return []  # saved by now, though the runner has not been told
            done = list(late)
            late.clear()
            return done

        executor.wait = wait  # type: ignore[method-assign]
        return executor

    runner.start = slow
    assert runner.run() == {"page.txt": b"66 reused 0"}
    assert events_of(runner, "task_reused") == []


def test_forced_stage_does_not_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    before = make_runner(tmp_path)
    before.run()
    keys = before.keys()
    runner = make_runner(tmp_path, fresh=frozenset({"total"}))
    for name in ("base", "total"):
        KeptCheckpoint(runner.store, keys[name], seconds=0).save({}, {}, position=1)
    runner.run()
    (kept,) = runner.store.files.names("checkpoints")
    assert keys["base"] in kept


def test_task_that_another_run_does_is_awaited_and_its_result_taken(tmp_path: Path) -> None:
    # Another run has a store of its own here, so that what it makes can be put where this one waits for it.
    theirs = make_runner(tmp_path / "theirs")
    theirs.run()
    base = theirs.graph.results["base"]
    runner, store = make_runner(tmp_path / "ours"), Store.open(str(tmp_path / "ours"))
    with ExitStack() as working:
        working.enter_context(WorkClaims(store.files, "theirs").working(base.key))

        def end_theirs(event: Mapping[str, Any]) -> None:
            if event["event"] == "task_awaited":
                store.save(base.recipe, theirs.store.load(base), seconds=1.0)
                working.close()

        runner.events = Events(runner.told.append, end_theirs)  # type: ignore[attr-defined]
        assert runner.run() == {"page.txt": b"66 reused 1"}
    assert [(event["task"], event["run"]) for event in events_of(runner, "task_awaited")] == [("base", "theirs")]
    assert [event["task"] for event in events_of(runner, "task_reused")] == ["base"]
    assert "base" not in CALLS.made


def test_task_that_another_run_gives_up_is_done(tmp_path: Path) -> None:
    runner, store = make_runner(tmp_path), Store.open(str(tmp_path))
    runner.graph.advance()
    (base,) = runner.graph.ready()
    with ExitStack() as working:
        working.enter_context(WorkClaims(store.files, "theirs").working(key_of(runner.graph.recipe(base))))
        stop = Events(runner.told.append, lambda event: working.close() if event["event"] == "task_awaited" else None)  # type: ignore[attr-defined]
        runner.events = stop
        assert runner.run() == {"page.txt": b"66 reused 0"}


def test_task_that_another_run_does_has_its_turn_again_where_what_it_reads_is_lost(tmp_path: Path) -> None:
    first = make_runner(tmp_path, stages=frozenset({"base"}))
    first.run()
    runner, store = make_runner(tmp_path), Store.open(str(tmp_path))
    runner.graph.advance()
    key = key_of(runner.graph.recipe(runner.graph.tasks["parts[2]"]))
    spoil(tmp_path, first.graph.results["base"])
    with ExitStack() as working:
        working.enter_context(WorkClaims(store.files, "theirs").working(key))
        stop = Events(runner.told.append, lambda event: working.close() if event["event"] == "task_awaited" else None)  # type: ignore[attr-defined]
        runner.events = stop
        assert runner.run()["page.txt"].startswith(b"66 ")
    assert "parts[2]" in [event["task"] for event in events_of(runner, "task_lost")]
    assert not events_of(runner, "task_failed")


def test_run_with_a_fault_does_not_wait_for_another_run(tmp_path: Path) -> None:
    runner, store = make_runner(tmp_path, Parameters(fail_on=1)), Store.open(str(tmp_path))
    make_runner(tmp_path, stages=frozenset({"base"})).run()
    runner.graph.advance()
    key = key_of(runner.graph.recipe(runner.graph.tasks["parts[2]"]))
    with WorkClaims(store.files, "theirs").working(key), pytest.raises(StageError, match="the number must not be 1"):
        runner.run()


DROP = {"droppable": frozenset({"parts"})}


def test_run_goes_on_without_a_task_that_fails_where_that_is_wanted(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, Parameters(fail_on=1), **DROP)
    assert runner.run() == {"page.txt": b"50 reused 0"}  # 22 + 28, without 16
    (dropped,) = events_of(runner, "task_dropped")
    assert (dropped["task"], dropped["fault"]) == ("parts[1]", "the number must not be 1")
    assert "make_part" in dropped["details"]
    assert not events_of(runner, "task_failed")
    assert "parts[1]" not in list(runner.keys())


def test_next_run_tries_a_dropped_task_again(tmp_path: Path) -> None:
    make_runner(tmp_path, Parameters(fail_on=1), **DROP).run()
    with pytest.raises(StageError, match=r"^parts\[1\]: the number must not be 1$"):
        make_runner(tmp_path, Parameters(fail_on=1)).run()
    assert CALLS.made == ["parts[1]"]
    again = make_runner(tmp_path, Parameters(fail_on=1), **DROP)
    assert again.run() == {"page.txt": b"50 reused 4"}
    assert CALLS.made == ["parts[1]"]


def test_last_task_of_a_stage_is_not_dropped(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, Parameters(numbers=(1,), fail_on=1), **DROP)
    told = r"^parts\[1\]: the number must not be 1; it cannot be dropped: what follows needs one of parts at least$"
    with pytest.raises(StageError, match=told):
        runner.run()


def test_dropped_and_lost_results_together_come_out_right(tmp_path: Path) -> None:
    make_runner(tmp_path, Parameters(fail_on=1), **DROP).run()
    for path in [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]:
        path.chmod(0o644)
        path.write_bytes(b"\0" * path.stat().st_size)
    assert make_runner(tmp_path, Parameters(fail_on=1), **DROP).run()["page.txt"].startswith(b"50 ")
