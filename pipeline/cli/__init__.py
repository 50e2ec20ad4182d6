"""The command line: the composition root of the program."""

from pipeline.cli.app import main

__all__ = ["main"]
