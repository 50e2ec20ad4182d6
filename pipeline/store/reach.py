"""Whether another machine sees the same store: a note left here is read there, and answered by another one."""

from pipeline.errors import StoreError
from pipeline.store.places import files_at
from pipeline.store.processes import temporary_name


def leave_note(location: str) -> str:
    """Write a note into a store that is there, and return its path. What is forgotten there `sweep` deletes.

    Raises:
        StoreError: It cannot be written.
    """
    path = f"temporary/{temporary_name()}"
    files_at(location).publish([path.encode()], lambda _: path)
    return path


def answer_note(location: str, path: str) -> str:
    """Read a note that somebody else has left, and leave another one: called on the other machine.

    Args:
        location: The store's location.
        path: The path of the note.

    Returns:
        The path of the answer.

    Raises:
        StoreError: There is no such note, so this is another store or none; nothing is made then. Or the store cannot
            be written.
    """
    # Without `prepare`, which would make a store where there is none.
    if not has_note(location, path):
        raise StoreError(f"the store {location} must be the same as here; got another one, or none")
    return leave_note(location)


def has_note(location: str, path: str) -> bool:
    """Return whether a note is there, whole.

    Raises:
        StoreError: The store cannot be read.
    """
    content = files_at(location).read(path)
    return content is not None and content.data == path.encode()


def take_note_away(location: str, path: str) -> None:
    """Delete a note."""
    files_at(location).delete(path)
