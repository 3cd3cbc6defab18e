"""The OpenAPI document of version 1: generated once for each process, the same bytes for everybody."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
import yaml
from drf_spectacular.generators import SchemaGenerator

Shape = dict[str, Any]

# What stands under these keywords is data, and not a schema.
_DATA = frozenset({"example", "examples", "default", "const", "enum", "required"})


def name_components(result: Shape, **_: Any) -> Shape:
    """Write every schema with a title once, as a component; drf-spectacular's POSTPROCESSING_HOOKS."""
    named: dict[str, Shape] = {}
    result["paths"] = _named(result["paths"], named)
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas |= dict(sorted(named.items()))
    return result


def _named(value: Any, named: dict[str, Shape]) -> Any:
    if isinstance(value, list):
        return [_named(one, named) for one in value]
    if not isinstance(value, dict):
        return value
    walked = {key: one if key in _DATA and not _is_schemas(one) else _named(one, named) for key, one in value.items()}
    name = walked.get("title")
    if not isinstance(name, str):
        return walked
    if named.setdefault(name, walked) != walked:
        raise ValueError(f"two schemas are called {name}")
    return {"$ref": f"#/components/schemas/{name}"}


def _is_schemas(value: Any) -> bool:
    """Tell a property that is called like a keyword from the keyword: its value is a schema."""
    return isinstance(value, dict) and any(key in value for key in ("type", "anyOf", "$ref", "schema"))


def generate() -> Shape:
    """Return the document, generated now."""
    document: Shape = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    plain: Shape = orjson.loads(orjson.dumps(document, default=str))
    return plain


@cache
def as_json() -> bytes:
    """Return the document as JSON."""
    return orjson.dumps(generate(), option=orjson.OPT_INDENT_2)


@cache
def as_yaml() -> bytes:
    """Return the document as YAML."""
    text: str = yaml.safe_dump(generate(), sort_keys=False, allow_unicode=True, width=120)
    return text.encode()
