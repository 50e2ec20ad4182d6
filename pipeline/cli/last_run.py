"""What has changed in a config since the last run of its name that ended well."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.cli.schema import Config
from pipeline.cli.tables import warn
from pipeline.config_source import read
from pipeline.config_words import cut_apart, shown
from pipeline.errors import Location, dotted
from pipeline.runs import CONFIG, RESULTS, newest_first
from stages.parameters import resolved


@dataclass(frozen=True)
class Since:
    """What has changed in a config since a run.

    Attributes:
        run: The name of its folder.
        changed: The settings that are others now, in the order of the config, each with both values.
    """

    run: str
    changed: Sequence[str]


def since_last_run(config: Config) -> Since | None:
    """Return what has changed since the last run of a config's name that has results; None where there is none.

    Of a config that cannot be read it is warned. To read YAML takes some 20 ms, of which only a plan is worth it that
    has something to explain.
    """
    folders = newest_first(Path(config.runs), config.name)
    last = next((folder.path for folder in folders if (folder.path / RESULTS).is_file()), None)
    if last is None:
        return None
    source = read(last / CONFIG, [])
    for fault in source.faults:
        warn(f"warning: {fault}")
    return None if source.values is None else Since(last.name, [*differences(source.values, resolved(config))])


def differences(before: Mapping[str, Any], now: BaseModel, above: Location = ()) -> Iterator[str]:
    """Yield the settings of which two configs have different values, each with both.

    A key that only one of them has is of another version of this program, and no difference. A section that only one of
    them has is one value, and so is one with free keys.

    Args:
        before: A config, or a section of it, as it was written.
        now: Another one.
        above: Where they are in the config.
    """
    values = now.model_dump(mode="json", by_alias=True)
    for name, field in type(now).model_fields.items():
        key = field.alias or name
        section = getattr(now, name)
        if key not in before or before[key] == values[key]:
            continue
        if isinstance(before[key], Mapping) and isinstance(section, BaseModel) and section.model_extra is None:
            yield from differences(before[key], section, (*above, key))
        else:
            yield f"{dotted((*above, key))} {' -> '.join(cut_apart(*map(_said, (before[key], values[key]))))}"


def _said(value: Any) -> str:
    """Return a value as text, of a section without what it leaves open."""
    return shown({key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value)
