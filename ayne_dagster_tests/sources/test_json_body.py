"""Bodies as they come off the wire, good and bad. The fields of each API are tested in test_*_models.py."""

import gzip
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from ayne_dagster.sources.errors import KEPT_BYTES, MalformedAnswer
from ayne_dagster.sources.json_body import (
    MAX_BODY_BYTES,
    LenientModel,
    parse_json,
    validate,
    validate_json,
)


class Child(LenientModel):
    name: str | None = None
    number: int | None = None


class Parent(LenientModel):
    id: int
    name: str | None = None
    number: float | None = None
    children: list[Child] | None = None
    anything: Any = None


def texts_in(value: object) -> list[str]:
    """All texts of a JSON value, keys included; without recursion, since bodies can be deep."""
    found, todo = [], [value]
    while todo:
        match todo.pop():
            case str() as text:
                found.append(text)
            case list() as items:
                todo.extend(items)
            case dict() as items:
                todo.extend(items)
                todo.extend(items.values())
    return found


def test_an_ordinary_body_is_read() -> None:
    assert parse_json(b'{"id": 1, "name": "Am\xc3\xa9lie"}') == {"id": 1, "name": "Amélie"}


def test_a_gzip_body_without_its_header_is_unpacked() -> None:
    packed = gzip.compress(b'{"id": 550}', mtime=0)
    assert parse_json(packed) == {"id": 550}
    assert validate_json(Parent, packed).id == 550


@pytest.mark.parametrize("packed", [b"\x1f\x8b", b"\x1f\x8bgarbage", gzip.compress(b'{"id": 550}', mtime=0)[:-9]])
def test_a_broken_gzip_body_is_malformed(packed: bytes) -> None:
    with pytest.raises(MalformedAnswer, match="gzip") as caught:
        parse_json(packed)
    assert caught.value.body == packed


def test_a_gzip_bomb_is_refused_before_it_unfolds() -> None:
    bomb = gzip.compress(b" " * 100_000_000, mtime=0)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedAnswer, match="more than 10,000,000 bytes"):
            parse_json(bomb)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_an_oversized_body_is_refused_and_kept_only_in_part() -> None:
    with pytest.raises(MalformedAnswer, match="more than") as caught:
        validate_json(Parent, b'{"id": 1}' + b" " * MAX_BODY_BYTES)
    assert len(caught.value.body) == KEPT_BYTES


def test_the_size_limit_can_be_set() -> None:
    assert parse_json(b"[1]", max_bytes=3) == [1]
    with pytest.raises(MalformedAnswer):
        parse_json(b"[10]", max_bytes=3)


def test_a_byte_order_mark_is_ignored() -> None:
    assert validate_json(Parent, b'\xef\xbb\xbf{"id": 1}').id == 1


def test_invalid_utf8_is_replaced() -> None:
    assert validate_json(Parent, b'{"id": 1, "name": "a\xffb"}').name == "a�b"


@pytest.mark.parametrize(
    ("escaped", "read"),
    [
        (r"\ud83d\ude00", "😀"),
        (r"\ud800", "�"),
        (r"\uDC00x", "�x"),
        (r"\ud800\ud83d\ude00", "�😀"),
        (r"\\ud800", r"\ud800"),
        (r"\\\ud800", "\\�"),
    ],
)
def test_half_of_a_surrogate_pair_is_replaced_and_a_whole_one_kept(escaped: str, read: str) -> None:
    body = f'{{"id": 1, "name": "{escaped}"}}'.encode()
    assert parse_json(body)["name"] == read
    assert validate_json(Parent, body).name == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a\x08b\x1ac\td", "a\x08b\x1ac\td"),
        (r"Miliardi\Millions", r"Miliardi\Millions"),
        (r"a\sb", r"a\sb"),
        (r"a\\sb\s", r"a\sb\s"),
        (r"\u12", r"\u12"),
        (r"kept: \" \\ \/ \n \u0041", 'kept: " \\ / \n A'),
        ('the "best" film', 'the "best" film'),
        ('"best", he said, of "it"', '"best", he said, of "it"'),
        ('the "best", "very best" film', None),
    ],
)
def test_omdbs_invalid_json_is_repaired(written: str, read: str | None) -> None:
    body = f'{{"id":1,"name":"{written}","number":2}}'.encode()
    if read is None:
        with pytest.raises(MalformedAnswer):
            parse_json(body)
    else:
        assert parse_json(body) == {"id": 1, "name": read, "number": 2}
        assert validate_json(Parent, body).name == read


def test_unescaped_quotes_of_omdbs_error_are_repaired() -> None:
    body = (
        rb'{"Response":"False","Error":"Conversion from string "011f8539" to type '
        rb"""'Double' is not valid."}"""
    )
    assert parse_json(body)["Error"] == "Conversion from string \"011f8539\" to type 'Double' is not valid."


def test_doubly_escaped_quotes_are_repaired() -> None:
    assert parse_json(rb'{"Plot":"He is \\"the\\" man","Year":"1999"}') == {
        "Plot": 'He is "the" man',
        "Year": "1999",
    }


def test_not_a_number_and_infinity_are_null() -> None:
    assert parse_json(b"[NaN, Infinity, -Infinity, 1]") == [None, None, None, 1]
    assert validate_json(Parent, b'{"id": 1, "name": NaN}').name is None


@pytest.mark.parametrize("body", [b"[" * 100_000 + b"]" * 100_000, b'{"id":1,"anything":' + b"[" * 100_000])
def test_deep_nesting_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer, match="deep"):
        parse_json(body)
    with pytest.raises(MalformedAnswer, match="deep"):
        validate_json(Parent, body)


def test_a_number_of_too_many_digits_is_malformed() -> None:
    with pytest.raises(MalformedAnswer, match="digits"):
        validate_json(Parent, b'{"id": 1, "number": ' + b"9" * 5000 + b"}")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty body"),
        (b" \n", "empty body"),
        (b"<!DOCTYPE html><title>522</title>", "not JSON but HTML or XML"),
        (b'{"id": 1', "not JSON: Expecting ',' delimiter at character 8"),
        (b"apikey=0123abcd", "not JSON: Expecting value at character 0"),
    ],
)
def test_the_reason_says_what_is_wrong_without_quoting_the_body(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        validate_json(Parent, body)
    assert str(caught.value) == reason
    assert caught.value.body == body


def test_the_reason_names_the_first_offending_field() -> None:
    with pytest.raises(MalformedAnswer, match=r"^Parent id: Field required$"):
        validate_json(Parent, b'{"name": "x"}')
    with pytest.raises(MalformedAnswer, match=r"^Parent body: "):
        validate_json(Parent, b"[]")


def test_the_reason_is_short_and_holds_no_input() -> None:
    class Strict(BaseModel):
        values: dict[str, int]

    with pytest.raises(MalformedAnswer) as caught:
        validate_json(Strict, json.dumps({"values": {"k" * 500: "secret"}}).encode())
    assert len(str(caught.value)) <= 200
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_wrong_optional_part_counts_as_missing_and_the_rest_stays() -> None:
    body = {
        "id": 1,
        "name": ["no"],
        "number": 2.5,
        "children": [{"name": "a", "number": "x"}, 5, {"name": {}}, None, {"name": "b"}],
    }
    read = Parent.model_validate(body)
    assert (read.name, read.number) == (None, 2.5)
    assert read.children == [Child(name="a"), Child(), Child(name="b")]
    assert validate_json(Parent, json.dumps(body).encode()) == read


def test_leaving_out_a_wrong_part_does_not_alter_the_input() -> None:
    body = {"id": 1, "children": [{"number": "x"}, 5]}
    before = json.dumps(body)
    Parent.model_validate(body)
    assert json.dumps(body) == before


def test_a_model_raises_pydantics_error_by_itself_and_ours_through_validate() -> None:
    with pytest.raises(ValidationError):
        Parent.model_validate({"name": "x"})
    with pytest.raises(MalformedAnswer) as caught:
        validate(Parent, {"name": "x"})
    assert caught.value.body == b'{"name": "x"}'


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
ODD_VALUES = (
    JSON_VALUES
    | st.integers(-(10**25), 10**25)
    | st.dates().map(str)
    | st.text("atT0123456789.,-–/$%: MKB\ud800\udc00\x00\x1a\n", max_size=12)
)
"""What no API should send, but any could: numbers out of range, broken texts, almost right dates."""


@settings(deadline=None)
@given(JSON_VALUES, st.booleans())
def test_whatever_json_can_write_is_read_back(value: object, ascii_only: bool) -> None:
    def expected(value: object) -> object:
        match value:
            case float() if value != value or value in (float("inf"), float("-inf")):
                return None
            case list():
                return [expected(item) for item in value]
            case dict():
                return {key: expected(item) for key, item in value.items()}
        return value

    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == expected(value)


FRAGMENTS = st.sampled_from(
    [
        *'{}[],:"\\',
        r"\"",
        r"\ud800",
        r"\udc00",
        r"\u0000",
        "\x00",
        "\x1f\x8b",
        '"id":1',
        "NaN",
        "1e999",
        "null",
        "\n",
    ]
)
BODIES = st.binary(max_size=200) | st.lists(FRAGMENTS | st.text(max_size=3), max_size=30).map(
    lambda parts: "".join(parts).encode(errors="replace")
)


@settings(deadline=None)
@given(BODIES)
def test_any_bytes_are_read_or_malformed_and_never_anything_else(body: bytes) -> None:
    for attempt in (body, b'{"id":1,"name":"' + body + b'"}', gzip.compress(body, mtime=0)):
        try:
            value = parse_json(attempt)
        except MalformedAnswer as error:
            assert error.body == attempt  # noqa: PT017
            assert 0 < len(str(error)) <= 200  # noqa: PT017
        else:
            for text in texts_in(value):
                text.encode()


@settings(deadline=None)
@given(BODIES)
def test_any_bytes_are_a_model_or_malformed(body: bytes) -> None:
    for attempt in (body, b'{"id":1,"name":"' + body + b'"}', b'{"id":1,"anything":' + body + b"}"):
        try:
            read = validate_json(Parent, attempt)
        except MalformedAnswer:
            continue
        (read.name or "").encode()
