"""What is found damaged: it is set aside, and told to whoever listens."""

from collections.abc import Callable

from pipeline.store.contents import Version
from pipeline.store.places import Files


class Damages:
    """What was found damaged in a store.

    Attributes:
        messages: Name what was found and where it is now; collected until somebody listens.
        listener: What they are passed on to.
    """

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.listener: Callable[[str], None] = self.messages.append

    def listen(self, listener: Callable[[str], None]) -> None:
        """Pass all messages on, those collected so far included."""
        self.listener = listener
        while self.messages:
            listener(self.messages.pop(0))

    def put_aside(self, files: Files, path: str, why: str, version: Version) -> None:
        """Set a file aside, unless another one has taken its place, and tell so."""
        aside = files.set_aside(path, why, version)
        if aside is not None:
            self.tell(files, path, why, aside)

    def tell(self, files: Files, path: str, why: str, aside: str) -> None:
        """Tell that a file was set aside."""
        self.listener(f"{files.root}/{path} {why}; it is now {files.root}/{aside}")
