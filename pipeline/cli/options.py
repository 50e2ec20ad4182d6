"""The arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import completion

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="The config file, such as pipeline.yaml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Replace a value of the config; may be repeated."),
]
Only = Annotated[
    str | None,
    typer.Option(
        metavar="STAGE",
        help="Do this stage alone, one that `plan` lists; its inputs must be there.",
        autocompletion=completion.stages,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        metavar="STAGE", help="Stop after this stage, one that `plan` lists.", autocompletion=completion.stages
    ),
]
Force = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STAGE",
        help="Do this stage again, one that `plan` lists; may be repeated.",
        autocompletion=completion.stages,
    ),
]
KeepGoing = Annotated[
    bool | None, typer.Option("--keep-going", help="After a fault, do all that does not depend on it.")
]
DryRun = Annotated[bool | None, typer.Option("--dry-run", help="Only show what would be done, as `plan` does.")]
StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="The store's folder or URL.")]
StorePath = Annotated[str, typer.Option("--store", metavar="STORE", help="The store's folder or URL.")]
TableKey = Annotated[
    str, typer.Argument(metavar="KEY", help="RUN:TEACHER, or RUN alone for the combined table of its student.")
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's folder or name; of a name the newest that is done.", autocompletion=completion.runs
    ),
]
RunsFolder = Annotated[Path, typer.Option(help="The folder that holds the runs.")]
RunStore = Annotated[
    str | None, typer.Option("--store", metavar="STORE", help="The run's store, where it is no longer where it was.")
]
AsJson = Annotated[bool | None, typer.Option("--json", help="Print JSON, for scripts.")]
