"""The amounts that a view's augmentation is written down as. Imports no torch: a plan asks for their size."""

AMOUNTS = {
    "dx": "i1",
    "dy": "i1",
    "flip": "i1",
    "reflect": "i1",
    "angle": "i2",
    "cut_top": "i2",
    "cut_left": "i2",
    "cut_size": "i2",
}
"""What `views.draw` may return and `views.apply` takes, each as numpy names its dtype: signed, of so many bytes."""


def drawn(*, padding: str, rotate: int, cutout: int) -> dict[str, str]:
    """Return those of `AMOUNTS` that an augmentation has a use for; its words are those of `views.draw`.

    A shift and a mirroring are always written down: by none where there is none.
    """
    has_use = {
        "reflect": padding == "reflect",
        "angle": rotate > 0,
        **dict.fromkeys(("cut_top", "cut_left", "cut_size"), cutout > 0),
    }
    return {name: dtype for name, dtype in AMOUNTS.items() if has_use.get(name, True)}


def row_bytes(*, padding: str, rotate: int, cutout: int) -> int:
    """Return the bytes of what is drawn for one example; the arguments are those of `drawn`."""
    return sum(int(dtype[1:]) for dtype in drawn(padding=padding, rotate=rotate, cutout=cutout).values())
