"""A table in several forms, of which the first that fits the terminal is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table


@dataclass(frozen=True)
class Fitted:
    """What is shown of forms of one table.

    Attributes:
        forms: The widest first; the last is shown where none fits.
    """

    forms: Sequence[Table]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the first form that needs no more columns than there are."""
        unlimited = options.update(max_width=10_000)
        widths = (Measurement.get(console, unlimited, form).maximum for form in self.forms)
        fitting = (form for form, width in zip(self.forms, widths, strict=True) if width <= options.max_width)
        yield next(fitting, self.forms[-1])
