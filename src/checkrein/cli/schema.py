"""`checkrein schema`: what Checkrein reads and writes, for editors, for CI and for policy checkers."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from checkrein.vocabulary import Stage

from .schema_text import cedar_schema, rego_annotations
from .schemas import input_schema, record_schema, settings_schema

__all__ = ["schema"]


class _What(StrEnum):
    INPUT = "input"
    SETTINGS = "settings"
    RECORD = "record"


class _Format(StrEnum):
    JSON = "json"
    CEDAR = "cedar"
    REGO = "rego"


def schema(
    what: Annotated[_What, typer.Argument(help="What is described.")],
    *,
    format: Annotated[_Format, typer.Option(help="Cedar and Rego know the input alone.")] = _Format.JSON,
    stage: Annotated[Stage | None, typer.Option(help="The input of one stage alone.")] = None,
) -> None:
    """Print a JSON Schema (draft 2020-12), or the input's schema for Cedar or Rego.

    The settings' schema holds the options of the engines that are installed.
    """
    if what is not _What.INPUT and stage is not None:
        raise typer.BadParameter("only `input` has stages", param_hint="--stage")
    if what is not _What.INPUT and format is not _Format.JSON:
        raise typer.BadParameter(f"`{format}` is for `input` alone", param_hint="--format")
    if format is _Format.CEDAR:
        sys.stdout.write(cedar_schema(stage))
    elif format is _Format.REGO:
        sys.stdout.write(rego_annotations(stage))
    else:
        made = {_What.SETTINGS: settings_schema, _What.RECORD: record_schema}
        told = input_schema(stage) if what is _What.INPUT else made[what]()
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
