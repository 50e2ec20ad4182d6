"""Reading a soft-target table: by row, by example and view, in batches, as a torch Dataset."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from pipeline.errors import StageError
from pipeline.stage import Artifact, Facts
from stages import tables
from stages.learning import views as augmentations
from stages.learning.models import as_tensor
from stages.soft_targets import encoding
from stages.soft_targets.index import Ids, RowIndex, whole_numbers
from stages.soft_targets.kept import KeptArtifacts

CPU = torch.device("cpu")

Sample = Callable[[int, int, Tensor], Any]
"""Makes what a dataset returns out of example id, view, and log-probabilities float32 (outputs,)."""


class SoftTargets:
    """A table of soft targets: one row for each example and view that its teacher was asked about.

    Rows are numbered in canonical order, by view and then by example. A row that is not there, because a specialist
    was not asked, is no row of zeros: `find` raises. Files are mapped; nothing is in memory but what was asked for.

    Args:
        shards: Of one teacher, in canonical order, each as `targets` or `combined` makes it.
        views: The views that they are of.
        dataset: The training half of the data set.

    Raises:
        StageError: The shards are not one whole table; lists all faults.
        StoreError: They are of another format.
    """

    def __init__(self, shards: Sequence[Artifact], views: Sequence[Artifact], dataset: Artifact) -> None:
        facts = shards[0].facts
        tables.check_format(facts)
        shared = _shared(facts)
        faults = [
            f"the shards must have the same {name}; got {value} beside {shared[name]}"
            for shard in shards
            for name, value in _shared(shard.facts).items()
            if value != shared[name]
        ]
        if faults:
            raise StageError("\n".join(faults))
        self._shards, self._dataset = shards, dataset
        self._by_view = {view.facts["view"]: view for view in views}
        self._index = RowIndex(shards, views)
        self.teacher: str = facts["teacher"]
        self.subset: list[int] | None = facts["subset"]
        self._correction: float = facts["prior_correction"]
        self._names = encoding.NAMES[facts["encoding"]["name"]]

    @classmethod
    def open(cls, store: str, key: str) -> "SoftTargets":
        """Open a table of a finished run.

        Args:
            store: Location of the store, such as `.pipeline`.
            key: `RUN:TEACHER`, such as `digits:combined`, `digits:generalist` or `digits:3-5-8`; RUN alone for the
                combined table. RUN is the run's name or folder, or the name in the config: the newest run of it.

        Raises:
            ConfigError: There is no such store, run or table.
            StoreError: Something of it is no longer in the store.
        """
        opened = tables.open_store(store, named_by="the argument `store`")
        table = tables.find(opened, key)

        def artifacts(tasks: Sequence[str]) -> KeptArtifacts:
            return KeptArtifacts(opened, [tables.manifest(opened, table.run, task).key for task in tasks])

        return cls(artifacts(table.shards), list(artifacts(table.views)), artifacts(["data[train]"])[0])

    def __len__(self) -> int:
        return len(self._index)

    @property
    def class_names(self) -> list[str]:
        """The names of all classes of the data set, by class id."""
        return list(self._dataset.facts["class_names"])

    @property
    def n_classes(self) -> int:
        """The number of classes of the data set."""
        return len(self._dataset.facts["class_names"])

    @property
    def n_outputs(self) -> int:
        """The number of columns: the classes, or of a specialist those of its subset, ascending, and the dustbin."""
        return self.n_classes if self.subset is None else len(self.subset) + 1

    @property
    def views(self) -> list[int]:
        """The views that there are rows of."""
        return self._index.views

    def log_probs(self, rows: Any, *, temperature: float = 1.0, device: torch.device = CPU) -> Tensor:
        """Return the logarithm of the soft targets, of a specialist with its prior corrected.

        Args:
            rows: Row numbers: an integer, or any sequence, array or tensor of these.
            temperature: Any positive number; the encoding top-k needs 1 at least.
            device: Where to decode, and to return it.

        Returns:
            float32 (n, outputs), in the order of the rows.

        Raises:
            IndexError: A row is not within the table.
            StageError: The temperature cannot be had.
            DamagedError: What is read does not match its digest; it is set aside.
        """
        return (self.logits(rows, temperature=temperature, device=device) / temperature).log_softmax(dim=1)

    def logits(self, rows: Any, *, temperature: float = 1.0, device: torch.device = CPU) -> Tensor:
        """Return logits whose softmax at a temperature are the soft targets: each row less some number of its own.

        Args:
            rows: As in `log_probs`.
            temperature: Does not matter to the dense encoding; from top-k the logits are right at this one alone.
            device: As in `log_probs`.

        Returns:
            float32 (n, outputs): z, to be used as softmax(z / temperature).

        Raises:
            IndexError: As `log_probs`.
            StageError: As `log_probs`.
            DamagedError: As `log_probs`.
        """
        if not temperature > 0:
            raise StageError(f"the temperature must be positive; got {temperature}")
        kept = encoding.as_rows(self.kept(rows))
        return self.decoded({name: values.to(device) for name, values in kept.items()}, temperature)

    def decoded(self, kept: Mapping[str, Tensor], temperature: float) -> Tensor:
        """Return what `logits` does, from the tensors that `encoding.as_rows` makes of kept rows; on their device."""
        found = encoding.shifted_logits(kept, self.n_outputs, temperature)
        if self._correction:
            found[:, -1] += self._correction
        return found

    def kept(self, rows: Any) -> dict[str, NDArray[Any]]:
        """Return what is kept of rows, as it is: for a decoder of one's own, perhaps on a device.

        Args:
            rows: As in `log_probs`.

        Returns:
            By name, in the order of the rows: `logits` float16 (n, outputs), less the row's maximum and without the
            correction of a prior; of top-k what `encoding.encode_top_k` returns.

        Raises:
            IndexError: As `log_probs`.
            DamagedError: As `log_probs`.
        """
        wanted = self._index.checked(rows)
        parts = list(self._index.parts(wanted))
        if len(parts) == 1:
            shard, _, local = parts[0]
            return {name: _taken(self._shards[shard].arrays[name], local) for name in self._names}
        sources = {name: self._shards[0].arrays[name] for name in self._names}
        gathered = {name: np.empty((len(wanted), *it.shape[1:]), dtype=it.dtype) for name, it in sources.items()}
        for shard, positions, local in parts:
            arrays = self._shards[shard].arrays
            for name, target in gathered.items():
                target[positions] = arrays[name].take(local, axis=0)
        return gathered

    def ids(self, rows: Any) -> tuple[Ids, Ids]:
        """Return the example id and the view of rows, int64 (n,) each; ids count from 0 in the training half."""
        return self._index.ids(self._index.checked(rows))

    def find(self, examples: Any, views: Any) -> Ids:
        """Return the row of each example as a view shows it.

        Args:
            examples: Example ids: an integer, or any sequence, array or tensor of these.
            views: The view of each, or one for all.

        Returns:
            Row numbers, int64 (n,).

        Raises:
            StageError: The teacher was not asked about one of them; names the first such.
            TypeError: They are not whole numbers.
        """
        wanted, of_view = np.broadcast_arrays(whole_numbers("examples", examples), whole_numbers("views", views))
        rows = self._index.find(wanted, of_view)
        absent = np.flatnonzero(rows < 0)
        if len(absent):
            first = ", ".join(f"{wanted[i]} in view {of_view[i]}" for i in absent[:3])
            rule = f"be among the {len(self)} that {self.teacher} was asked about"
            raise StageError(f"example and view must {rule}; got {len(absent)} that are not, such as {first}")
        return rows

    def contains(self, examples: Any, views: Any) -> NDArray[np.bool_]:
        """Return whether there is a row of each example as a view shows it, bool (n,); takes what `find` takes."""
        wanted, of_view = np.broadcast_arrays(whole_numbers("examples", examples), whole_numbers("views", views))
        return self._index.find(wanted, of_view) >= 0

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[Ids]:
        """Yield all rows once, in batches that lie in one shard each: the fastest way through a table.

        Args:
            size: Rows of a batch; the last one of each shard may be smaller.
            seed: Draws the order of the shards, and of the rows within each; None for the canonical order.

        Yields:
            Row numbers, int64 (n,), for the other methods.
        """
        if size < 1:
            raise StageError(f"the size of a batch must be at least 1; got {size}")
        draw = None if seed is None else np.random.default_rng(seed)
        firsts = self._index.firsts
        n_shards = len(firsts) - 1
        for shard in range(n_shards) if draw is None else draw.permutation(n_shards):
            rows = np.arange(firsts[shard], firsts[shard + 1])
            if draw is not None:
                draw.shuffle(rows)
            yield from np.split(rows, range(size, len(rows), size)) if len(rows) else ()

    def pixels(self, rows: Any) -> Tensor:
        """Return what the teacher saw, bit for bit: uint8 (n, height, width, channels)."""
        view_rows, views = self._index.view_rows(self._index.checked(rows))
        examples, _ = self.ids(rows)
        known = {view: augmentations.augmentation_of(artifact.arrays) for view, artifact in self._by_view.items()}
        like = next(iter(known.values()))  # all views of a run have the same parameters
        drawn = {name: np.empty(len(views), dtype=array.dtype) for name, array in like.items()}
        for view in np.unique(views):
            of_view = views == view
            for name, values in drawn.items():
                values[of_view] = known[view][name][view_rows[of_view]]
        images = as_tensor(self._dataset.arrays["images"][examples])
        return augmentations.apply(images, {name: torch.from_numpy(values) for name, values in drawn.items()})

    def labels(self, rows: Any) -> Tensor:
        """Return the class ids that the data set gives the examples of rows, int64 (n,)."""
        examples, _ = self.ids(rows)
        return as_tensor(self._dataset.arrays["labels"][examples])

    def dataset(self, *, temperature: float = 1.0, sample: Sample | None = None) -> "SoftTargetsDataset":
        """Return a torch Dataset of all rows, for a DataLoader that shuffles and batches as it likes.

        Args:
            temperature: As in `log_probs`.
            sample: Makes an item out of example id, view, and log-probabilities float32 (outputs,); by default
                the item is these three.
        """
        return SoftTargetsDataset(self, temperature, sample or _as_is)


class SoftTargetsDataset(Dataset[Any]):
    """A table as a torch Dataset; use `SoftTargets.dataset`.

    Args:
        targets: The table.
        temperature: Of the soft targets.
        sample: Makes an item of example id, view and log-probabilities.
    """

    def __init__(self, targets: SoftTargets, temperature: float, sample: Sample) -> None:
        self._targets, self._temperature, self._sample = targets, temperature, sample

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, row: int) -> Any:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[Any]:
        """Return many items at once: what a DataLoader asks for, one reading of each shard instead of one a row."""
        examples, views = self._targets.ids(rows)
        log_probs = self._targets.log_probs(rows, temperature=self._temperature)
        return [self._sample(*item) for item in zip(examples.tolist(), views.tolist(), log_probs, strict=True)]


def _shared(facts: Facts) -> dict[str, Any]:
    """Return what must be the same in all shards of a table."""
    names = ("format", "teacher", "subset", "classes", "prior_correction")
    encoded = {f"encoding.{name}": facts["encoding"].get(name) for name in ("name", "k")}
    return {name: facts.get(name) for name in names} | encoded


def _taken(array: NDArray[Any], rows: Ids) -> NDArray[Any]:
    """Return a copy of rows, in one go where they follow each other."""
    first, last = rows[0], rows[-1]
    if last - first == len(rows) - 1 and np.array_equal(rows, np.arange(first, last + 1)):
        return array[first : last + 1].copy()
    return array.take(rows, axis=0)


def _as_is(example: int, view: int, log_probs: Tensor) -> tuple[int, int, Tensor]:
    return example, view, log_probs
