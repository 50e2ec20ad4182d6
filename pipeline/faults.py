"""What went wrong with the tasks of a run: which of them it stops for, and which it goes on without."""

from collections.abc import Collection
from dataclasses import dataclass, field

from pipeline.errors import StageError
from pipeline.stage import Task, stage_of


@dataclass
class Faults:
    """The faults of a run's tasks.

    Attributes:
        droppable: Stages of which the run goes on without a task that fails, as long as it has another.
        failed: By task id, the faults that the run ends with.
        dropped: By task id, those that it goes on after.
    """

    droppable: Collection[str]
    failed: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    @property
    def stages(self) -> set[str]:
        """The stages of the tasks that the run ends with."""
        return {stage_of(name) for name in self.failed}

    def add(self, task: Task, fault: str, *, has_others: bool) -> bool:
        """Note a fault.

        Args:
            task: Of which task.
            fault: What went wrong.
            has_others: Whether its stage has other tasks.

        Returns:
            Whether the run goes on without the task.
        """
        is_dropped = task.stage in self.droppable and has_others
        if is_dropped:
            self.dropped[task.id] = fault
        else:
            self.failed[task.id] = fault + self._why_not_dropped(task)
        return is_dropped

    def check(self) -> None:
        """Raise what went wrong; what went wrong with several tasks in the same way is told once.

        Raises:
            StageError: Tasks failed; names them.
        """
        names: dict[str, list[str]] = {}
        for name, fault in self.failed.items():
            names.setdefault(fault, []).append(name)
        if names:
            raise StageError("\n".join(f"{', '.join(who)}: {fault}" for fault, who in names.items()))

    def _why_not_dropped(self, task: Task) -> str:
        """Return why a run that goes on without such tasks cannot go on without this one; nothing of other runs."""
        if task.stage not in self.droppable:
            return ""
        faults = {name: fault for name, fault in self.dropped.items() if name.startswith(f"{task.stage}[")}
        others = ", ".join(f"{name} ({fault.splitlines()[0]})" for name, fault in faults.items())
        like = f" as {others} {'was' if len(faults) == 1 else 'were'}" if others else ""
        return f"; it cannot be dropped{like}: what follows needs one of {task.stage} at least"
