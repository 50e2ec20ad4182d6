"""How amounts are written for people."""


def duration(seconds: float) -> str:
    """Return a time as people say it, such as `4.2 s`, `1 min 20 s` or `3 h 5 min`."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def rough_duration(seconds: float) -> str:
    """Return a time that is only estimated: no tenths of a second."""
    return f"{seconds:.0f} s" if seconds < 59.5 else duration(seconds)


def size(n_bytes: float) -> str:
    """Return a number of bytes in the largest unit that it has one of, such as `640 kB` or `1.2 GB`."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= 0.9995 * factor:
            amount = n_bytes / factor
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"
    return f"{n_bytes:.0f} bytes"


def rough_count(n: int) -> str:
    """Return a number in seven columns at most, such as `94,186` or `11.2 M`."""
    for unit, factor in (("G", 1e9), ("M", 1e6)):
        if n >= factor:
            return f"{n / factor:.1f} {unit}"
    return f"{n:,}"


def digits(value: float, n: int) -> str:
    """Return a number with so many significant digits, with zeros at its end, or all that are before its point."""
    return f"{value:.0f}" if abs(value) >= 10**n - 0.5 else f"{value:#.{n}g}".removesuffix(".")
