"""How a run in progress keeps what it uses from being pruned."""

from collections.abc import Mapping
from dataclasses import asdict

from pipeline.store.manifest import manifest_path
from pipeline.store.processes import temporary_name
from pipeline.store.records import Claim, claim_path, seal
from pipeline.store.store import Store


class Hold:
    """What somebody who uses results says of it, so that `prune` leaves them.

    It lasts until `release`, as long as the process lives, and as long after that as `prune` is told to go back.

    Args:
        store: Where the results are.
        name: A name nobody else uses, such as that of the run.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._claim = Claim(name, {}, temporary_name())

    def add(self, keys: Mapping[str, str]) -> list[str]:
        """Claim results that have been found, in addition to those claimed before.

        `prune` takes a manifest away first and looks for claims after that; this writes the claim first and looks for
        the manifests after that. So one of the two sees the other, and neither has to wait.

        Args:
            keys: The keys of the results, by task id.

        Returns:
            The keys of those that are not there any more: they have to be made again.
        """
        news = set(keys.values()) - set(self._claim.keys.values())
        if not news:
            return []
        self._claim = Claim(self._claim.name, {**self._claim.keys, **keys}, self._claim.process)
        files = self._store.files
        files.replace(claim_path(self._claim.name), seal(asdict(self._claim)))
        return [key for key in sorted(news) if files.stat(manifest_path(key)) is None]

    def release(self) -> None:
        """Give the claim up, once the run is recorded."""
        self._store.files.delete(claim_path(self._claim.name))
