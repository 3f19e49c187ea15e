"""Check JSON against docs/schema/."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).parents[2] / "docs" / "schema"


@cache
def _registry() -> Registry[Any]:
    tables = [json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")]
    return Registry().with_resources([(table["$id"], Resource.from_contents(table)) for table in tables])


def check(name: str, value: Any) -> None:
    """Raise `jsonschema.ValidationError` where a value is not as docs/schema/NAME.json says."""
    Draft202012Validator({"$ref": f"urn:wsra:schema:{name}"}, registry=_registry()).validate(value)
