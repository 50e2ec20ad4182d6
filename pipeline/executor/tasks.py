"""Jobs as Ray tasks: handed out, watched, done again where a worker, a node or the storage failed."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from typing import Any, Protocol, cast

from pipeline.errors import ConfigError, StageError, first_line
from pipeline.executor.contract import Needs, Tell
from pipeline.executor.flights import GRACE, Flight, Result
from pipeline.executor.nodes import Node, Nodes
from pipeline.executor.options import Demand, RayOptions, demand
from pipeline.executor.preflight import misfits
from pipeline.executor.probes import PATIENCE, Probes, wait_for_nodes
from pipeline.executor.remote import Mailbox, perform_and_post
from pipeline.executor.retries import LIMITS, Attempts, Cause
from pipeline.worker import Job, Outcome

MAX_RESTARTS = 3
"""How often a Ray of our own is started again after its processes were killed."""


class Joined(Protocol):
    """A Ray that this process is in touch with."""

    ray: Any
    grace: float

    def broken(self) -> str:
        """Return which of its processes have died, so that it must be started anew; empty if none."""

    def close(self) -> None:
        """Part from it."""


class RayExecutor:
    """Hands jobs to a Ray, and sees to it that each comes to an end.

    Args:
        join: Gets into touch with the Ray; called again where one of our own has died.
        options: What the tasks reserve.
        needs: What the run needs.
        tell: Told what the tasks report, and what befell them.
        grace: Seconds in which the cause may still show why the workers of a task have lost one another.

    Raises:
        ConfigError: The nodes cannot do this run; the message has a line for every fault.
        StageError: A Ray of our own cannot be started here.
    """

    def __init__(
        self, join: Callable[[], Joined], options: RayOptions, needs: Needs, tell: Tell, *, grace: float = GRACE
    ) -> None:
        self._join = join
        self._options = options
        self._needs = needs
        self._tell = tell
        self._grace = grace
        self._running: dict[Any, Flight] = {}
        self._waiting: list[Flight] = []
        self._restarts = 0
        self._starts = count(1)
        self._start()

    def submit(self, job: Job) -> None:
        """Hand a job to Ray, which starts it when a node has enough to spare."""
        self._launch(Flight(job, Attempts(self._demand(job).memory), self._grace))

    def wait(self) -> list[Outcome]:
        """Pass on what tasks reported, and return the outcomes of those that ended."""
        broken = self._joined.broken()
        if broken:
            self._restart(broken)
        self._launch_due()
        done = self._ended()
        self._read_letters()
        if self._nodes.is_due():
            self._watch()
        outcomes = [self._landed(flight, *verdict) for flight, verdict in self._over(done)]
        return [outcome for outcome in outcomes if outcome is not None]

    def close(self) -> None:
        """Cancel what runs, by force where it does not stop in time, and part from Ray."""
        try:
            self._cancel(list(self._running))
            if self._probes is not None:
                self._probes.close()
        finally:
            self._running.clear()
            self._waiting.clear()
            self._joined.close()

    def _start(self) -> None:
        self._joined = self._join()
        self._ray = self._joined.ray
        self._probes: Probes | None = None
        try:
            self._nodes = Nodes(self._ray)
            self._check()
            self._has_gpus = self._nodes.most("GPU") > 0
            # Tasks may outlive the mailbox's process, so it has to come back.
            mailbox = self._ray.remote(Mailbox).options(num_cpus=0, max_restarts=-1, max_task_retries=-1)
            self._mailbox = mailbox.remote()
            self._letters: Any = None
            self._perform = self._ray.remote(perform_and_post)
            # Not in processes that others have used or will use: each has one group of workers that it belongs to.
            self._perform_together = self._ray.remote(max_calls=1)(perform_and_post)
        except BaseException:
            self.close()
            raise
        total = self._nodes.total()
        self._tell(
            "executor_ready", nodes=len(self._nodes.alive), cpus=total.get("CPU", 0.0), gpus=total.get("GPU", 0.0)
        )

    def _check(self) -> None:
        """Refuse what cannot go well, all of it in one message."""
        faults: list[str] = []
        if self._options.is_joined:
            if self._options.wait_for is not None:
                wait_for_nodes(self._ray, self._nodes, self._options.wait_for, self._warn)
            self._probes = Probes(self._ray, self._needs)
            self._probes.ask(self._nodes.alive.values())
            faults = self._probes.faults(PATIENCE) + self._probes.silent()
        faults += misfits(self._needs, self._options, self._nodes.alive.values())
        self._refuse(faults)

    def _refuse(self, faults: list[str]) -> None:
        if faults:
            raise ConfigError("\n".join([f"ray.address {self._options.address} cannot do this run:", *faults]))

    def _launch(self, flight: Flight) -> None:
        job, wanted = flight.job, replace(self._demand(flight.job), memory=flight.attempts.memory)
        flight.begin(next(self._starts))
        # Ray does not do it again by itself: it would not say so, and would ask for the same memory.
        options = {
            "name": job.task.id,
            "num_cpus": wanted.cpus,
            "num_gpus": wanted.gpus,
            "memory": wanted.memory or None,
            "resources": dict(wanted.custom),
            "max_retries": 0,
        }
        perform = self._perform
        if job.task.workers > 1:
            # All of them or none: two tasks that each had half of their workers would wait for ever.
            flight.group = self._ray.util.placement_group([wanted.amounts] * job.task.workers, strategy="PACK")
            options["scheduling_strategy"] = self._within(flight.group)
            perform = self._perform_together
        for rank in range(job.task.workers):
            reference = perform.options(**options).remote(job, flight.number, self._mailbox, rank)
            flight.aloft[reference] = rank
            self._running[reference] = flight

    def _within(self, group: Any) -> Any:
        return self._ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group)

    def _launch_due(self) -> None:
        now = time.monotonic()
        due = [flight for flight in self._waiting if flight.due <= now]
        self._waiting = [flight for flight in self._waiting if flight.due > now]
        for flight in due:
            self._launch(flight)
        if self._waiting and not self._running:
            time.sleep(0.1)

    def _ended(self) -> list[Any]:
        """Return all that has ended, after waiting a short time for the first."""
        flights = list(self._running)
        if not flights or not self._ray.wait(flights, num_returns=1, timeout=0.2)[0]:
            return []
        ended: list[Any] = self._ray.wait(flights, num_returns=len(flights), timeout=0)[0]
        return ended

    def _demand(self, job: Job) -> Demand:
        task = job.task
        return demand(self._options, job.stage, task.threads, has_gpus=self._has_gpus, workers=task.workers)

    def _over(self, done: Iterable[Any]) -> list[tuple[Flight, tuple[int, Result]]]:
        """Take in which workers have ended, and return the flights that are over with it, and how each ended."""
        now, flights = time.monotonic(), dict.fromkeys(self._running.values())
        for reference in done:
            self._running.pop(reference).end(reference, self._fetched(reference), now)
        verdicts = [(flight, verdict) for flight in flights if (verdict := flight.verdict(now)) is not None]
        for flight, _ in verdicts:
            for reference in flight.aloft:
                self._running.pop(reference)
            if flight.group is not None:
                self._ray.util.remove_placement_group(flight.group)  # which kills the workers that are left
        return verdicts

    def _fetched(self, reference: Any) -> Result:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return cast("Exception", error)
        return outcome

    def _read_letters(self) -> None:
        # Not longer than a moment: the mailbox may have been lost with its node, and be on its way back.
        self._letters = self._letters or self._mailbox.take.remote()
        ready, _ = self._ray.wait([self._letters], timeout=0.5)
        if not ready:
            return
        letters = self._ray.get(self._letters)
        self._letters = None
        flights = {flight.job.task.id: flight for flight in self._running.values()}
        for task_id, number, facts in letters:
            flight = flights.get(task_id)
            if flight is not None and flight.number != number:
                continue  # of a worker believed dead
            told = dict(facts)
            if "node" in told:
                if flight is not None:
                    flight.nodes[told.get("worker", 0)] = told["node"]
                told["node"] = self._nodes.name(told["node"])
            if "worker" not in told:  # where the others are is for us alone
                self._tell("task_progress", task=task_id, **told)

    def _watch(self) -> None:
        """See which nodes have come, which must be asked like the others, and which were lost."""
        come, gone = self._nodes.look()
        if self._probes is not None:
            self._probes.ask(come)
            self._refuse(self._probes.faults(0.0))
        for node in gone:
            self._tell_lost(node, dict.fromkeys(self._running.values()))

    def _tell_lost(self, node: Node, flights: Iterable[Flight]) -> None:
        tasks = [flight.job.task.id for flight in flights if node.id in flight.nodes.values()]
        what = f"{', '.join(tasks)} will be done again on another" if tasks else "none of the tasks was there"
        self._warn(f"node {node.name} was lost; {what}")

    def _landed(self, flight: Flight, rank: int, result: Result) -> Outcome | None:
        """Return how a flight ended, or None where it is to be started again."""
        if isinstance(result, Exception):
            return self._crashed(flight, rank, result)
        if result.may_pass and self._again(flight, "storage", result.fault):
            for message in result.warnings:
                self._warn(message)
            return None
        return result

    def _crashed(self, flight: Flight, rank: int, error: Exception) -> Outcome | None:
        known, node_id = self._ray.exceptions, flight.nodes.get(rank, "")
        if self._joined.broken():
            self._waiting.append(flight)  # all are started again together
            return None
        if isinstance(error, known.NodeDiedError):
            node = self._nodes.lose(node_id)
            if node is not None:
                self._tell_lost(node, dict.fromkeys([flight, *self._running.values()]))
        where = f" on {self._nodes.name(node_id)}" if node_id else ""
        cause: Cause = "crash"
        n_workers = flight.job.task.workers
        what = f"its worker process died{where}" if n_workers == 1 else f"one of its {n_workers} workers died{where}"
        if isinstance(error, known.OutOfMemoryError):
            cause, what = "memory", f"memory ran out{where}"
        elif isinstance(error, known.NodeDiedError) or node_id in self._nodes.lost:
            cause, what = "node", f"its node was lost{where}"
        if self._again(flight, cause, what):
            return None
        return Outcome(flight.job.task, fault=f"{what}, again and again: {first_line(error)}", details=str(error))

    def _again(self, flight: Flight, cause: Cause, what: str) -> bool:
        """Have a task started again, unless that was tried too often, and return whether it is."""
        pause = flight.attempts.again(cause, int(self._nodes.most("memory")))
        if pause is None:
            return False
        how = f" in {pause:g} s" if pause else ""
        how += f" with {flight.attempts.reserved} reserved" if cause == "memory" else ""
        count = f"{flight.attempts.counts[cause]} of {LIMITS[cause]}"
        self._warn(f"{flight.job.task.id}: {what}; it is started again{how} ({count})")
        self._tell("task_lost", task=flight.job.task.id)
        flight.due = time.monotonic() + pause
        self._waiting.append(flight)
        return True

    def _restart(self, broken: str) -> None:
        """Start our own Ray anew, and with it every task that it did."""
        self._restarts += 1
        flights = list(dict.fromkeys([*self._running.values(), *self._waiting]))
        names = ", ".join(flight.job.task.id for flight in flights)
        if self._restarts > MAX_RESTARTS:
            raise StageError(f"Ray must stay alive on this machine; got its {broken} killed {self._restarts} times")
        self._warn(f"Ray's {broken} was killed; Ray is started anew, and with it {names}")
        self._running.clear()
        self._waiting.clear()
        self._joined.close()
        self._start()
        for flight in flights:
            self._tell("task_lost", task=flight.job.task.id)
            self._launch(flight)

    def _cancel(self, references: list[Any]) -> None:
        if references and self._joined.grace:
            for reference in references:
                self._ray.cancel(reference)
            _, references = self._ray.wait(references, num_returns=len(references), timeout=self._joined.grace)
        for reference in references:
            self._ray.cancel(reference, force=True)
        if references and self._joined.grace:
            self._ray.wait(references, num_returns=len(references), timeout=self._joined.grace)

    def _warn(self, message: str) -> None:
        self._tell("warning", message=message)
