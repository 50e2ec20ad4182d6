import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.executor import InlineExecutor, RayOptions, start
from pipeline.executor.connecting import signals_put_off
from pipeline.executor.own import make_folder
from pipeline.executor.tasks import RayExecutor
from pipeline.recipe import recipe
from pipeline.stage import Task
from pipeline.store import Store, verify
from pipeline.worker import Job, Outcome
from tests.pipeline.fakes import ORDERED
from tests.waiting import PATIENCE, named, wait_until

LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}

Told = list[tuple[str, dict[str, object]]]


def job(
    store: Path, order: str, argument: object, identity: str = "", threads: int = 1, workers: int = 1, **options: Any
) -> Job:
    """Return a job of an identity that no other test's has: of one that gave up, some may still come."""
    identity = identity or secrets.token_hex(4)
    parameters = {"order": order, "argument": str(argument)}
    task = Task("ordered", identity, parameters=parameters, threads=threads, workers=workers)
    made_from = recipe(ORDERED, task, seed=0, inputs={})
    return Job(ORDERED, task, made_from, {}, Store.open(str(store)).location, 0, **options)


def outcomes(of: Any, *jobs: Job) -> list[Outcome]:
    for item in jobs:
        of.submit(item)
    return outcomes_of(of, *jobs)


def outcomes_of(of: Any, *jobs: Job) -> list[Outcome]:
    """Return the outcomes of jobs by their ids, once all are there; those of other tests' jobs are nobody's."""
    ids, ended = {item.task.id for item in jobs}, list[Outcome]()

    def all_ended() -> bool:
        ended.extend(outcome for outcome in of.wait() if outcome.task.id in ids)
        return len(ended) >= len(jobs)

    wait_until(all_ended, f"{ids} must end", pause=0)
    return sorted(ended, key=lambda outcome: outcome.task.id)


def go_on_until(of: Any, condition: Callable[[], object], what: str) -> None:
    """Have an executor go on until a condition is true."""

    def went_on() -> object:
        of.wait()
        return condition()

    wait_until(went_on, what, pause=0)


def heard(ray: RayExecutor, reported: Told, task: str, n: int) -> Told:
    """Return what was reported of a task once that is `n` reports: reports of tasks before it may still arrive."""

    def told() -> Told:
        ray.wait()
        found = [(event, said) for event, said in reported if said.get("task") == task]
        return found if len(found) >= n else []

    return wait_until(told, f"{n} reports of {task} must arrive", pause=0)


def warned(reported: Told, task: str) -> list[str]:
    """Return the warnings about a task, without where it was: the last words of a worker may be lost with it."""
    said = (str(facts["message"]) for event, facts in reported if event == "warning")
    where = f" on {os.uname().nodename} (127.0.0.1)"
    return [message.replace(where, "") for message in said if message.startswith(f"{task}: ")]


def facts(store: Path, outcome: Outcome) -> Any:
    assert outcome.manifest is not None, outcome.details
    return Store.open(str(store)).facts(outcome.manifest)


def family() -> Iterator[psutil.Process]:
    yield psutil.Process()
    yield from psutil.Process().children(recursive=True)


def listens_at() -> set[str]:
    """Return the addresses at which this process and its children listen for TCP."""
    addresses = set()
    for process in family():
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            found = process.net_connections("tcp")
            addresses |= {connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN}
    return addresses


def test_inline_does_jobs_in_order_and_forgets_the_rest_when_closed(tmp_path: Path) -> None:
    told: Told = []
    inline = start(RayOptions(address="inline"), lambda event, **facts: told.append((event, facts)))
    assert isinstance(inline, InlineExecutor)
    assert inline.wait() == []
    inline.submit(job(tmp_path, "tell", "hello", "a"))
    inline.submit(job(tmp_path, "tell", "never", "b"))
    (outcome,) = inline.wait()
    assert facts(tmp_path, outcome) == {"message": "hello"}
    inline.close()
    assert inline.wait() == []
    assert told == [
        ("task_progress", {"task": "ordered[a]", "state": "running"}),
        ("task_progress", {"task": "ordered[a]", "message": "hello", "threads": 1}),
    ]


def test_ray_does_jobs_in_parallel_in_processes_of_their_own(ray: RayExecutor, tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    store = tmp_path / "store"
    ended = outcomes(ray, job(store, "meet", meeting), job(store, "meet", meeting))
    processes = {facts(store, outcome)["process"] for outcome in ended}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_ray_passes_on_what_tasks_report(ray: RayExecutor, reported: Told, tmp_path: Path) -> None:
    (outcome,) = outcomes(ray, job(tmp_path, "tell", "hello", "told", threads=2))
    assert facts(tmp_path, outcome) == {"message": "hello"}
    assert heard(ray, reported, "ordered[told]", 2) == [
        ("task_progress", {"task": "ordered[told]", "state": "running", "node": f"{os.uname().nodename} (127.0.0.1)"}),
        ("task_progress", {"task": "ordered[told]", "message": "hello", "threads": 2}),
    ]


def test_ray_goes_on_reporting_after_its_mailbox_was_killed(ray: RayExecutor, reported: Told, tmp_path: Path) -> None:
    (mailbox,) = wait_until(lambda: list(named("ray::Mailbox", family())), "Ray must have a mailbox")
    mailbox.kill()
    (outcome,) = outcomes(ray, job(tmp_path, "tell", "still there", "mailbox"))
    assert facts(tmp_path, outcome) == {"message": "still there"}
    # Sent again to the next mailbox, they may come in another order.
    told = heard(ray, reported, "ordered[mailbox]", 2)
    assert {facts.get("message") for _, facts in told} == {None, "still there"}


def test_ray_makes_a_fault_of_what_a_stage_raises(ray: RayExecutor, tmp_path: Path) -> None:
    (outcome,) = outcomes(ray, job(tmp_path, "fail", "the colour must be red; got blue"))
    assert outcome.fault == "the colour must be red; got blue"
    assert outcome.manifest is None
    assert 'tests/pipeline/fakes.py", line' in outcome.details


def test_ray_does_a_task_again_whose_worker_was_killed_and_says_so(
    ray: RayExecutor, reported: Told, tmp_path: Path
) -> None:
    (outcome,) = outcomes(ray, job(tmp_path, "die", f"2 in {tmp_path / 'lives'}", "killed"))
    assert facts(tmp_path, outcome) == {"lives": 3}
    assert warned(reported, "ordered[killed]") == [
        f"ordered[killed]: its worker process died; it is started again ({n} of 2)" for n in (1, 2)
    ]
    assert [event for event, facts in reported if facts.get("task") == "ordered[killed]"].count("task_lost") == 2


def test_ray_gives_up_a_task_that_kills_every_worker(ray: RayExecutor, tmp_path: Path) -> None:
    (outcome,) = outcomes(ray, job(tmp_path, "die", f"9 in {tmp_path / 'lives'}", "deadly"))
    assert (tmp_path / "lives").read_text() == "3"
    assert outcome.task.id == "ordered[deadly]"
    assert outcome.fault.startswith("its worker process died")
    assert outcome.details


def test_ray_does_a_task_again_after_a_pause_where_storage_failed(
    ray: RayExecutor, reported: Told, tmp_path: Path
) -> None:
    (outcome,) = outcomes(ray, job(tmp_path, "falter", f"1 in {tmp_path / 'tries'}", "faltering"))
    assert facts(tmp_path, outcome) == {"tries": 2}
    fault = "OSError: [Errno 5] Input/output error"
    assert warned(reported, "ordered[faltering]") == [
        f"ordered[faltering]: {fault}; it is started again in 1 s (1 of 4)"
    ]


def test_ray_listens_on_the_loopback_interface_alone(ray: RayExecutor) -> None:
    addresses = listens_at()
    assert addresses
    assert addresses <= LOOPBACK


def shown_by_ss() -> set[str]:
    """Return the addresses at which `ss` sees this process and its children listen for TCP."""
    if shutil.which("ss") is None:
        pytest.skip("there is no ss here")
    shown = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    ours = {f"pid={process.pid}," for process in family()}
    addresses = [line.split()[3] for line in shown.splitlines() if any(pid in line for pid in ours)]
    return {address.rpartition(":")[0].strip("[]") for address in addresses}


def test_ss_shows_no_other_address(ray: RayExecutor) -> None:
    addresses = shown_by_ss()
    assert addresses
    assert addresses <= LOOPBACK


def test_a_job_that_is_done_twice_at_once_has_one_result(ray: RayExecutor, tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    store = tmp_path / "store"
    # Neither ends before both are at work: as when a worker was believed dead. Each would make something else.
    one, other = outcomes(ray, *[job(store, "meet", meeting, "twice")] * 2)
    assert facts(store, one) == facts(store, other)
    assert one.manifest == other.manifest
    assert verify(Store.open(str(store))) == []


def test_ray_leaves_the_signal_handlers_alone(ray: RayExecutor) -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    # What a shell starts in the background ignores it.
    assert signal.getsignal(signal.SIGINT) in {signal.default_int_handler, signal.SIG_IGN}


LIVE_AND_DIE = """
import os, sys, psutil
from pathlib import Path
from pipeline.executor import RayOptions, start
from tests.pipeline.executor.test_local import go_on_until, job
from tests.waiting import left_of
if __name__ == "__main__":
    ray = start(RayOptions(cpus=1), lambda event, **facts: None)
    folders = set(Path("/tmp").glob(f"pipeline-{os.getpid()}-*"))
    store, meeting = Path(sys.argv[1]), Path(sys.argv[2])
    ray.submit(job(store, "meet", meeting))
    ray.submit(job(store, "tell", "never"))
    go_on_until(ray, lambda: list(meeting.iterdir()), "the task must begin")
    children = psutil.Process().children(recursive=True)
    ray.close()
    print(len(folders), len(children) > 3, left_of(children), [folder.exists() for folder in folders])
"""


SURVIVE = """
import sys, psutil
from pathlib import Path
from pipeline.executor import RayOptions, start
from tests.pipeline.executor.test_local import facts, go_on_until, job, outcomes_of
from tests.waiting import left_of
if __name__ == "__main__":
    reported = []
    ray = start(RayOptions(cpus=1), lambda event, **facts: reported.append((event, facts)))
    store, meeting = Path(sys.argv[1]), Path(sys.argv[2])
    meets = job(store, "meet", meeting, "a")
    ray.submit(meets)
    go_on_until(ray, lambda: list(meeting.iterdir()), "the task must begin")
    (worker,) = (psutil.Process(int(path.name)) for path in meeting.iterdir())
    (victim,) = (process for process in psutil.Process().children() if process.name() == "gcs_server")
    victim.kill()
    (outcome,) = outcomes_of(ray, meets)
    assert worker.pid != facts(store, outcome)["process"]
    assert left_of([worker]) == []
    ray.close()
    print(*(facts["message"] for event, facts in reported if event == "warning"))
"""


def in_process(script: str, *arguments: str, **environment: str) -> tuple[int, subprocess.CompletedProcess[str]]:
    """Run a script in a process of its own; return its id, and how it ended."""
    root = str(Path(__file__).parents[3])
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env=os.environ | {"PYTHONPATH": root} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=2 * PATIENCE)
    return process.pid, subprocess.CompletedProcess(script, process.returncode, out, err)


def test_closed_ray_leaves_no_process_and_no_folder_though_a_task_runs(tmp_path: Path) -> None:
    # A temporary folder with a long path is no obstacle: Ray's sockets would not fit into it.
    long = tmp_path / ("long" * 12)
    meeting = tmp_path / "meeting"
    for folder in (long, meeting):
        folder.mkdir()
    _, done = in_process(LIVE_AND_DIE, str(tmp_path / "store"), str(meeting), TMPDIR=str(long))
    assert done.stdout == "1 True [] [False]\n", done.stderr
    assert list(long.iterdir()) == []


def test_ray_whose_own_process_was_killed_is_started_anew(tmp_path: Path) -> None:
    # In a process of its own, for Ray's client may end the process that drives it, without a word, when what it talks
    # to is gone. That says nothing about this program, which is then asked again.
    for attempt in range(3):
        meeting = tmp_path / f"meeting-{attempt}"
        meeting.mkdir()
        _, done = in_process(SURVIVE, str(tmp_path / f"store-{attempt}"), str(meeting))
        if done.returncode == 0 or "Traceback" in done.stderr:
            break
    assert done.stdout == "Ray's gcs_server was killed; Ray is started anew, and with it ordered[a]\n", done


def test_ray_that_cannot_start_says_so_and_leaves_nothing() -> None:
    process, done = in_process("from pipeline.executor.own import OwnRay; OwnRay(-1)", TMPDIR="/tmp")
    assert "StageError: Ray must be able to start on this machine; got " in done.stderr
    assert done.stderr.rstrip().endswith("; `ray.address: inline` does without it")
    assert list(Path("/tmp").glob(f"pipeline-{process}-*")) == []


def test_signals_that_come_while_ray_starts_are_delivered_afterwards() -> None:
    steps: list[str] = []
    former = signal.signal(signal.SIGTERM, lambda *_: steps.append("delivered"))
    try:
        with signals_put_off():
            signal.raise_signal(signal.SIGTERM)
            steps.append("started")
        assert steps == ["started", "delivered"]
    finally:
        signal.signal(signal.SIGTERM, former)


def test_folders_of_killed_drivers_are_deleted_and_those_of_living_ones_kept() -> None:
    script = (
        "import os; from pipeline.executor.own import make_folder as f; print(f(), flush=True); os.kill(os.getpid(), 9)"
    )
    _, killed = in_process(script)
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    remade, strange = (left.with_name(f"pipeline-0-{secrets.token_hex(4)}") for _ in range(2))
    for folder in (remade, strange):
        folder.mkdir()
    (remade / "session_latest").symlink_to("session")
    for folder in (remade, strange):
        os.utime(folder, (0, 0))
    first, second = Path(make_folder()), Path(make_folder())
    try:
        assert not left.exists()
        assert not remade.exists()
        assert strange.is_dir()
        assert first.is_dir()
    finally:
        for folder in (first, second, strange):
            shutil.rmtree(folder)
