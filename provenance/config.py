"""TOML files into checked config models, with errors that name file and key. Knows no particular config."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from provenance.errors import ConfigError


class Config(BaseModel):
    """A config section: frozen, and unknown keys are errors rather than silently ignored wishes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError naming the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}", hint="strings need quotes; tables are [name]") from error


def checked(model: type[ConfigT], data: Mapping[str, Any], source: str) -> ConfigT:
    """`data` as a `model`. Raises ConfigError naming `source` and the first key that is wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A misspelled key is often also a missing one: say the misspelling. Where a name or a table may stand, what is
        # wrong inside a given table says more than that it is no name.
        first = min(
            error.errors(),
            key=lambda found: (
                found["type"] != "extra_forbidden",
                isinstance(found["input"], dict) and found["type"] == "string_type",
            ),
        )
        where = _key(first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{source}: unknown key {where!r}", hint=_suggest(model, first["loc"])) from None
        if first["type"] == "missing":
            needed = sorted(_keys(model, first["loc"], required=True))
            raise ConfigError(f"{source}: missing key {where!r}", hint=f"needed here: {', '.join(needed)}") from None
        # A validator may add a second line: what to do.
        message, _, hint = str(first["msg"]).removeprefix("Value error, ").partition("\n")
        got = "" if isinstance(first["input"], dict | list) else f", got {first['input']!r}"
        raise ConfigError(f"{source}: {f'{where}: ' if where else ''}{message}{got}", hint=hint) from None


def _key(location: tuple[int | str, ...]) -> str:
    """`share[1].where` from pydantic's location; the union members it names are left out."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part + 1}]"  # people count shares from one
        elif part.isidentifier() and not part[0].isupper():
            text += f".{part}" if text else part
    return text


def _suggest(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    known = sorted(_keys(model, location))
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if not known:
        return "this table takes no keys"
    return f"did you mean {near[0]!r}?" if near else f"known keys here: {', '.join(known)}"


def _keys(model: type[BaseModel], location: tuple[int | str, ...], *, required: bool = False) -> set[str]:
    """The keys of the table that holds `location`: all of them, or those without a default."""
    fields = [field for table in _tables(model, location) for field in table.model_fields.items()]
    return {info.alias or name for name, info in fields if info.is_required() or not required}


def _tables(model: type[BaseModel], location: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """The models that may stand at the table that holds `location`; union members have names there but no field."""
    tables = [model]
    for part in location[:-1]:
        fields = [info for table in tables for name, info in table.model_fields.items() if part in (name, info.alias)]
        if fields:
            tables = [inner for info in fields for inner in _inner_models(info.annotation)]
    return tables


def _inner_models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in getattr(annotation, "__args__", ()) for model in _inner_models(arg)]
