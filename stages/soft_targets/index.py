"""Where the rows of a table lie: which shard, which example, which view. Holds three numbers a shard and no row."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StageError
from pipeline.stage import Artifact, Facts

Ids = NDArray[np.int64]


class RowIndex:
    """The place of every row of a table.

    Args:
        shards: The shards, in canonical order: by view, then by rows. Of a specialist each has `rows`, the ascending
            rows of the shard that it holds.
        views: The views, in any order; example ids ascend in each.

    Raises:
        StageError: Shards are missing, double or out of order; lists all faults.
    """

    def __init__(self, shards: Sequence[Artifact], views: Sequence[Artifact]) -> None:
        self._shards = shards
        self._examples = {view.facts["view"]: view for view in views}
        places = [_place(shard.facts) for shard in shards]
        self._views, self._starts, self._stops, n_rows = (
            np.array(column, dtype=np.int64) for column in zip(*places, strict=True)
        )
        self.firsts = np.concatenate(([0], np.cumsum(n_rows)))
        self._check()

    def __len__(self) -> int:
        return int(self.firsts[-1])

    @property
    def views(self) -> list[int]:
        """The views that there are rows of, ascending."""
        return [int(view) for view in np.unique(self._views)]

    def checked(self, rows: Any) -> Ids:
        """Return row numbers, given as an integer or any sequence, array or tensor of these, as int64 (n,).

        Raises:
            IndexError: One is not within the table.
            TypeError: They are not whole numbers.
        """
        found = whole_numbers("rows", rows)
        if found.size and not (found.min() >= 0 and found.max() < len(self)):
            raise IndexError(f"rows must be within 0..{len(self) - 1}; got {found.min()}..{found.max()}")
        return found

    def parts(self, rows: Ids) -> Iterator[tuple[int, Ids, Ids]]:
        """Yield the shards that rows lie in: the shard, the positions among the rows given, and the rows within it."""
        if not len(rows):
            return
        shards = np.searchsorted(self.firsts, rows, side="right") - 1
        if shards[0] == shards.min() == shards.max():
            yield int(shards[0]), np.arange(len(rows)), rows - self.firsts[shards[0]]
            return
        order = np.argsort(shards, kind="stable")
        present, starts = np.unique(shards[order], return_index=True)
        for shard, start, stop in zip(present.tolist(), starts, [*starts[1:], len(rows)], strict=True):
            positions = order[start:stop]
            yield shard, positions, rows[positions] - self.firsts[shard]

    def ids(self, rows: Ids) -> tuple[Ids, Ids]:
        """Return the example id and the view of rows, int64 (n,) each."""
        view_rows, views = self.view_rows(rows)
        examples = np.empty_like(rows)
        for view in np.unique(views):
            of_view = views == view
            examples[of_view] = self._examples[view].arrays["examples"][view_rows[of_view]]
        return examples, views

    def view_rows(self, rows: Ids) -> tuple[Ids, Ids]:
        """Return for rows of the table the row of the view, and the view, int64 (n,) each."""
        view_rows, views = np.empty_like(rows), np.empty_like(rows)
        for shard, positions, local in self.parts(rows):
            held = self._held(shard)
            view_rows[positions] = self._starts[shard] + (local if held is None else held[local])
            views[positions] = self._views[shard]
        return view_rows, views

    def find(self, examples: Ids, views: Ids) -> Ids:
        """Return the rows of examples as views show them, int64 (n,); -1 where the table has none."""
        found = np.full(len(examples), -1, dtype=np.int64)
        for view in np.unique(views):
            positions = np.flatnonzero(views == view)
            view_rows, is_known = self._view_rows_of(examples[positions], int(view))
            found[positions[is_known]] = self._rows_of(view_rows[is_known], int(view))
        return found

    def _view_rows_of(self, examples: Ids, view: int) -> tuple[Ids, NDArray[np.bool_]]:
        """Return the rows of a view that show examples, and which examples it shows at all."""
        if view not in self._examples:
            return np.zeros_like(examples), np.zeros(len(examples), dtype=bool)
        shown = self._examples[view].arrays["examples"]
        return positions_in(shown, examples)

    def _rows_of(self, view_rows: Ids, view: int) -> Ids:
        """Return the rows of the table that are of rows of a view; -1 where the table has none."""
        found = np.full(len(view_rows), -1, dtype=np.int64)
        of_view = np.flatnonzero(self._views == view)
        owners = np.searchsorted(self._starts[of_view], view_rows, side="right") - 1
        for owner in np.unique(owners) if len(of_view) else ():
            shard, positions = int(of_view[owner]), np.flatnonzero(owners == owner)
            local, held = view_rows[positions] - self._starts[shard], self._held(shard)
            is_held = np.ones(len(local), dtype=bool)
            if held is not None:
                local, is_held = positions_in(held, local)
            found[positions[is_held]] = self.firsts[shard] + local[is_held]
        return found

    def _held(self, shard: int) -> Ids | None:
        """Return the rows of a shard that a specialist's table holds; None where it holds all."""
        return self._shards[shard].arrays.get("rows")

    def _check(self) -> None:
        faults = []
        for view in self.views:
            if view not in self._examples:
                faults.append(f"view {view} must be given; got views {sorted(self._examples)}")
                continue
            of_view = self._views == view
            bounds = list(zip(self._starts[of_view].tolist(), self._stops[of_view].tolist(), strict=True))
            n_rows = self._examples[view].facts["rows"]
            if [0, *(stop for _, stop in bounds)] != [*(start for start, _ in bounds), n_rows]:
                faults.append(f"the shards of view {view} must follow each other from 0 to {n_rows}; got {bounds}")
        if faults:
            raise StageError("\n".join(faults))


def whole_numbers(name: str, values: Any) -> Ids:
    """Return numbers, given as one or as any sequence, array or tensor, as int64 (n,).

    Raises:
        TypeError: They are not whole; says so by the name.
    """
    found = np.atleast_1d(np.asarray(values))
    if found.size and found.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers; got {found.dtype}")
    return found.astype(np.int64)


def _place(facts: Facts) -> tuple[int, int, int, int]:
    """Return view, first row of the view, the row after the last, and how many of these a shard holds."""
    return facts["view"], facts["start"], facts["start"] + facts["examples"], facts["rows"]


def positions_in(ascending: Ids, wanted: Ids) -> tuple[Ids, NDArray[np.bool_]]:
    """Return where numbers are in an ascending array, int64 (n,), and which are there, bool (n,)."""
    positions = np.searchsorted(ascending, wanted)
    positions[positions == len(ascending)] = 0
    if not len(ascending):
        return positions, np.zeros(len(wanted), dtype=bool)
    return positions, ascending[positions] == wanted
