"""Answers held against a discovery document: types, formats, enums; a property that it does not know is a fault."""

import base64
import binascii
import json
import re
from datetime import datetime
from functools import lru_cache
from typing import Any

from cheerful_pipelines_tests.local_google.clients import DOCUMENTS

_INTEGERS = {"int64": (-(2**63), 2**63), "uint64": (0, 2**64), "int32": (-(2**31), 2**31), "uint32": (0, 2**32)}


@lru_cache(maxsize=4)
def _document(name: str) -> dict[str, Any]:
    return json.loads((DOCUMENTS / f"{name}.json").read_text())


def response_faults(name: str, method: str, answer: Any) -> list[str]:
    """What is wrong with an answer to a method (`gmail.users.messages.get`) of a document (`gmail.v1`)."""
    found = _method(_document(name)["resources"], method.split(".")[1:])
    reference = found.get("response")
    if reference is None:
        return [] if answer in ("", b"", None) else ["a body where none is described"]
    return _faults(_document(name)["schemas"], {"$ref": reference["$ref"]}, answer, method)


def _method(resources: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for part in path[:-1]:
        holder = resources[part]
        resources = holder.get("resources", {})
    return holder["methods"][path[-1]]


def _faults(schemas: dict[str, Any], schema: dict[str, Any], value: Any, where: str) -> list[str]:
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    kind = schema.get("type", "any")
    if kind == "any":
        return []
    if kind == "object":
        return _object_faults(schemas, schema, value, where)
    if kind == "array":
        if not isinstance(value, list):
            return [f"{where}: not a list"]
        return [
            fault for n, item in enumerate(value) for fault in _faults(schemas, schema["items"], item, f"{where}[{n}]")
        ]
    return _scalar_faults(schema, kind, value, where)


def _object_faults(schemas: dict[str, Any], schema: dict[str, Any], value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: not an object"]
    known, rest = schema.get("properties", {}), schema.get("additionalProperties")
    faults = []
    for name, item in value.items():
        inner = known.get(name, rest)
        if inner is None:
            faults.append(f"{where}.{name}: no such property")
        elif item == []:
            faults.append(f"{where}.{name}: an empty list, which Google leaves out")
        else:
            faults += _faults(schemas, inner, item, f"{where}.{name}")
    return faults


def _scalar_faults(schema: dict[str, Any], kind: str, value: Any, where: str) -> list[str]:
    wanted = {"string": str, "integer": int, "number": (int, float), "boolean": bool}[kind]
    if not isinstance(value, wanted) or (kind in ("integer", "number") and isinstance(value, bool)):
        return [f"{where}: {value!r} is no {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    return [f"{where}: {value!r} is no {schema['format']}"] if not _has_format(schema.get("format"), value) else []


def _has_format(name: str | None, value: Any) -> bool:
    if name in _INTEGERS:
        low, high = _INTEGERS[name]
        return bool(re.fullmatch(r"-?\d+", str(value))) and low <= int(value) < high
    if name == "byte":
        try:
            base64.b64decode(value, altchars=b"-_", validate=True)
        except binascii.Error:
            return False
        return "+" not in value and "/" not in value
    if name in ("date-time", "google-datetime"):
        return value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None
    return True
