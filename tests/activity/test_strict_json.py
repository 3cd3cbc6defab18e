"""Strict JSON: what comes back equal, and that every refusal names the place and the reason."""

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activity.errors import BadJsonError
from activity.strict_json import MAX_LEVELS, JsonValue, _Scanner, parse

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def with_types(value: JsonValue) -> object:
    """Return something that differs where == does not: 1 and 1.0 and true, 0.0 and -0.0."""
    if isinstance(value, dict):
        return {key: with_types(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_types(item) for item in value]
    return (type(value), value, isinstance(value, float) and math.copysign(1, value))


@given(json_values, st.booleans())
def test_every_json_value_comes_back_equal_with_its_types(value: JsonValue, ascii_only: bool) -> None:  # noqa: FBT001
    assert with_types(parse(json.dumps(value, ensure_ascii=ascii_only).encode())) == with_types(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740993", 2**53 + 1),
        ("9223372036854775808", 2**63),
        ("-9223372036854775808", -(2**63)),
        ("18446744073709551615", 2**64 - 1),
        ("0.1", 0.1),
        ("1e16", 1e16),
        ("-0.0", -0.0),
        ("0e5", 0.0),
        ("5e-324", 5e-324),
        (r'"a\u0000b"', "a\0b"),
        ('{"😀": 1}', {"😀": 1}),
        (r'{"\ud83d\ude00": 1}', {"😀": 1}),
        (r'"a backslash \\ud800"', r"a backslash \ud800"),
        ("[[[]]]", [[[]]]),
        (" \t\r\n[1 , 2]\n", [1, 2]),
    ],
)
def test_values_that_other_parsers_bend_come_back_as_they_are(text: str, value: JsonValue) -> None:
    assert with_types(parse(text.encode())) == with_types(value)


@pytest.mark.parametrize(
    ("raw", "path", "reason"),
    [
        (b'{"a": 1, "b": {"c": 2, "c": 3}}', "$.b.c", "stands twice"),
        (rb'{"a": 1, "\u0061": 2}', "$.a", "stands twice"),
        (b'{"a": [1, NaN]}', "$.a[1]", '"NaN" is not JSON'),
        (b'{"a": Infinity}', "$.a", '"Infinity" is not JSON'),
        (b"-Infinity", "$", '"-Infinity" is not JSON'),
        (b'{"data": {"n": 1e400}}', "$.data.n", "too large"),
        (b'{"data": {"n": -1e400}}', "$.data.n", "too large"),
        (b'{"data": {"n": 1e-400}}', "$.data.n", "too small"),
        (b'{"data": {"n": 1180591620717411303424}}', "$.data.n", "beyond 64 bits"),
        (b'{"n": 18446744073709551616}', "$.n", "beyond 64 bits"),
        (b'{"n": -9223372036854775809}', "$.n", "beyond 64 bits"),
        (rb'{"user": "\ud800"}', "$.user", "unpaired surrogate, U+D800"),
        (rb'{"user": "\udc00\ud800"}', "$.user", "unpaired surrogate, U+DC00"),
        (rb'{"user": {"\uDFFF": 1}}', r'$.user["\udfff"]', "unpaired surrogate, U+DFFF"),
        (b'{"user": "\xed\xa0\x80"}', "$.user", "not UTF-8: the byte 0xED"),
        (b'{"user": "J\xfcrgen"}', "$.user", "not UTF-8: the byte 0xFC"),
        (b'{"user": 1}\xff', "$", "not UTF-8: the byte 0xFF"),
        (b'\xef\xbb\xbf{"a": 1}', "$", "byte order mark of UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "$", "byte order mark of UTF-16"),
        (b'{"a": 1} {"a": 2}', "$", "more after the end of the JSON value (character 10)"),
        (b"", "$", "empty"),
        (b" \n", "$", "empty"),
        (b'{"a": [1, 2', "$.a", "a comma or ] is expected"),
        (b'{"a": [1, ', "$.a[1]", "ends where a value is expected"),
        (b'{"a": 1,}', "$", "a key in double quotes is expected"),
        (b"{'a': 1}", "$", "a key in double quotes is expected"),
        (b'{"a" 1}', "$.a", "a colon is expected"),
        (b'{"a": 1 "b": 2}', "$", "a comma or } is expected"),
        (b"[1 2]", "$", "a comma or ] is expected"),
        (b'["abc', "$[0]", "does not end"),
        (b'["abc\\', "$[0]", "does not end"),
        (b'["a\\x"]', "$[0]", "unknown escape"),
        (b'["a\\u12"]', "$[0]", "unknown escape"),
        (b'["a\nb"]', "$[0]", "control character that is not escaped, U+000A (character 4)"),
        (b'{"n": 01}', "$.n", "not a JSON number"),
        (b'{"n": 1.}', "$.n", "not a JSON number"),
        (b'{"n": +1}', "$.n", "a value is expected"),
        (b'{"n": undefined}', "$.n", '"undefined" is not JSON'),
        (b'{"data": {"user": {"odd key": [0, 1, 2, NaN]}}}', '$.data.user["odd key"][3]', "not JSON"),
        (b'{"@timestamp": tru}', '$["@timestamp"]', "not JSON"),
    ],
)
def test_a_refusal_names_the_place_and_the_reason(raw: bytes, path: str, reason: str) -> None:
    with pytest.raises(BadJsonError) as refusal:
        parse(raw)
    assert refusal.value.path == path
    assert reason in refusal.value.reason


def test_32_levels_are_taken_and_33_are_refused() -> None:
    assert parse(b"[" * MAX_LEVELS + b"]" * MAX_LEVELS)
    assert parse(b"[" + b'{"a": [1]},' * 1000 + b"1]")
    with pytest.raises(BadJsonError, match="nesting deeper than 32 levels") as refusal:
        parse(b"[" * (MAX_LEVELS + 1) + b"]" * (MAX_LEVELS + 1))
    assert refusal.value.path == "$" + "[0]" * MAX_LEVELS
    assert parse(b"[" * (MAX_LEVELS + 1) + b"]" * (MAX_LEVELS + 1), max_levels=MAX_LEVELS + 1)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_of_any_depth_is_refused_without_a_crash(opening: bytes) -> None:
    with pytest.raises(BadJsonError, match="nesting deeper"):
        parse(opening * 100_000)


@pytest.mark.parametrize("raw", [b"1" * 2_000_000, b"-" + b"9" * 2_000_000, b"1e" + b"9" * 2_000_000])
def test_a_number_of_two_million_digits_is_refused_at_once(raw: bytes) -> None:
    start = time.process_time()
    with pytest.raises(BadJsonError):
        parse(raw)
    assert time.process_time() - start < 1


def test_a_key_of_a_million_characters_is_shortened_in_the_path() -> None:
    with pytest.raises(BadJsonError) as refusal:
        parse(b'{"%b": NaN}' % (b"k" * 1_000_000))
    assert len(refusal.value.path) < 100
    assert "…" in json.loads(refusal.value.path[2:-1])


@given(json_values, st.data())
def test_the_two_passes_agree_on_damaged_texts(value: JsonValue, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 3)))
    piece = data.draw(st.binary(max_size=3) | st.sampled_from([b'"', b"\\ud800", b"NaN", b"1e999", b"0", b".", b"]"]))
    raw = text[:start] + piece + text[end:]
    if reason := refusal_of(raw):
        assert reason != "not acceptable JSON", "the fast pass refuses what the slow one takes"
    else:
        _Scanner(raw.decode(), MAX_LEVELS).document()


def refusal_of(raw: bytes) -> str:
    try:
        parse(raw)
    except BadJsonError as refusal:
        return refusal.reason
    return ""
