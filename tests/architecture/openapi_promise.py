"""What version 1 of the API promised and another document does not keep: a line for each thing removed or narrowed.

Requests may take more, and answers may say more: a new address, parameter, member, code or alternative breaks nobody.
Whatever was taken before must be taken, whatever was said before must be said, in the same form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Shape = dict[str, Any]

REQUEST, ANSWER = "request", "answer"
_METHODS = ("get", "put", "post", "delete", "patch")
_HIGHEST = ("maximum", "maxLength", "maxItems")
_LOWEST = ("minimum", "minLength", "minItems")
_SAME = ("pattern", "format", "not", "propertyNames", "patternProperties", "additionalProperties", "const")


def broken(promised: Shape, present: Shape) -> list[str]:
    """Return what the present document breaks of the promised one."""
    return list(_Comparison(promised, present).document())


class _Comparison:
    def __init__(self, promised: Shape, present: Shape) -> None:
        self._promised = promised
        self._present = present
        self._seen: set[tuple[str, str, str]] = set()

    def document(self) -> Iterator[str]:
        for path, methods in self._promised["paths"].items():
            for method in _METHODS:
                if method in methods:
                    there = self._present["paths"].get(path, {}).get(method)
                    place = f"{method.upper()} {path}"
                    yield from [f"{place}: gone"] if there is None else self.operation(place, methods[method], there)

    def operation(self, place: str, was: Shape, now: Shape) -> Iterator[str]:
        if was["operationId"] != now["operationId"]:
            yield f"{place}: is called {now['operationId']} now"
        yield from (f"{place}: takes no {one} any more" for one in was["security"] if one not in now["security"])
        yield from self.parameters(place, _by_name(was), _by_name(now))
        taken, takes = was.get("requestBody", {}), now.get("requestBody", {})
        if takes.get("required") and not taken.get("required"):
            yield f"{place}: needs a body"
        yield from self.contents(f"{place}, body", taken, takes, REQUEST)
        for status, answer in was["responses"].items():
            if status not in now["responses"]:
                yield f"{place}: never answers {status} any more"
            else:
                yield from self.contents(f"{place}, {status}", answer, now["responses"][status], ANSWER)

    def parameters(self, place: str, was: dict[str, Shape], now: dict[str, Shape]) -> Iterator[str]:
        for name, parameter in was.items():
            if name not in now:
                yield f"{place}: no parameter {name}"
            else:
                yield from self.shape(f"{place}, {name}", parameter["schema"], now[name]["schema"], REQUEST)
        for name, parameter in now.items():
            if parameter.get("required") and not was.get(name, {}).get("required"):
                yield f"{place}: needs the parameter {name}"

    def contents(self, place: str, was: Shape, now: Shape, side: str) -> Iterator[str]:
        for kind, content in was.get("content", {}).items():
            there = now.get("content", {}).get(kind)
            if there is None:
                yield f"{place}: no {kind}"
            else:
                yield from self.shape(f"{place}, {kind}", content["schema"], there["schema"], side)

    def shape(self, place: str, was: Shape, now: Shape, side: str) -> Iterator[str]:
        names = (was.get("$ref", ""), now.get("$ref", ""), side)
        if any(names[:2]):
            if names in self._seen:
                return
            self._seen.add(names)
        was, now = _followed(was, self._promised), _followed(now, self._present)
        if not _types(was, now, side):
            yield f"{place}: is of another type"
        yield from (f"{place}: no {value!r}" for value in was.get("enum", ()) if value not in now.get("enum", [value]))
        if "enum" in now and "enum" not in was:
            yield f"{place}: only {now['enum']}"
        for keyword in ("anyOf", "oneOf", "allOf"):
            yield from self.alternatives(place, was.get(keyword, []), now.get(keyword, []), side)
        if "items" in was:
            yield from self.shape(f"{place}[]", was["items"], now.get("items", {}), side)
        yield from self.members(place, was, now, side)
        if side == REQUEST:
            yield from _limits(place, was, now)

    def alternatives(self, place: str, was: list[Shape], now: list[Shape], side: str) -> Iterator[str]:
        for number, one in enumerate(was):
            same = [other for other in now if "$ref" in one and other.get("$ref") == one["$ref"]]
            there = same or now[number : number + 1]
            if not there:
                yield f"{place}: no alternative {one.get('$ref', number)}"
            else:
                yield from self.shape(place, one, there[0], side)

    def members(self, place: str, was: Shape, now: Shape, side: str) -> Iterator[str]:
        for name, member in was.get("properties", {}).items():
            there = now.get("properties", {}).get(name)
            if there is None:
                yield f"{place}.{name}: gone"
            else:
                yield from self.shape(f"{place}.{name}", member, there, side)
        needed, needs = set(was.get("required", ())), set(now.get("required", ()))
        if side == REQUEST:
            yield from (f"{place}.{name}: is needed now" for name in sorted(needs - needed))
        else:
            yield from (f"{place}.{name}: may be missing now" for name in sorted(needed - needs))


def _by_name(operation: Shape) -> dict[str, Shape]:
    return {f"{one['name']} in {one['in']}": one for one in operation.get("parameters", ())}


def _followed(shape: Shape, document: Shape) -> Shape:
    while "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        shape = {**document["components"]["schemas"][name], **{key: shape[key] for key in shape if key != "$ref"}}
    return shape


def _types(was: Shape, now: Shape, side: str) -> bool:
    before, after = (
        {one["type"]} if isinstance(one.get("type"), str) else set(one.get("type", ())) for one in (was, now)
    )
    if side == REQUEST:
        return not after or (bool(before) and before <= after)
    return not before or (bool(after) and after <= before)


def _limits(place: str, was: Shape, now: Shape) -> Iterator[str]:
    tighter: list[tuple[tuple[str, ...], Callable[[Any, Any], bool]]] = [
        (_HIGHEST, lambda before, after: before is None or after < before),
        (_LOWEST, lambda before, after: before is None or after > before),
        (_SAME, lambda before, after: before != after),
    ]
    for keywords, is_tighter in tighter:
        for keyword in keywords:
            if keyword in now and is_tighter(was.get(keyword), now[keyword]):
                yield f"{place}: {keyword} is {now[keyword]} now"
