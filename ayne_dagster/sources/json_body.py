"""From a response body to JSON or to a validated model; which fields exist is in each source's `models.py`.

No HTTP and no knowledge of an API. The ordinary body takes pydantic's own parser, a few dozen microseconds;
every repair below runs only after that has failed, so an odd body costs more and a good one nothing.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import SchemaValidator, core_schema

from ayne_dagster.sources.errors import MalformedAnswer
from ayne_dagster.sources.unpacking import GZIP_MAGIC, BrokenGzip, gunzipped

MAX_BODY_BYTES = 10_000_000
"""Larger bodies, sent or unpacked, are refused; real ones (details with all credits) stay below 1 MB."""

MAX_VALUES = 100_000
"""Of a body; each can take 300 bytes when it is parsed. Real ones (details with all credits) have below 40,000."""
MAX_WRONG = 1_000
"""Parts of a body that are left out because they are wrong; with more of them it is another kind of body."""
REPAIRABLE_BYTES = 100_000
"""Larger bodies are not repaired: each attempt reads them once more. OMDb's, which need it, have 2,000."""
MAX_REASON_CHARS = 200

_UTF8_BOM = b"\xef\xbb\xbf"
_REPLACEMENT_ESCAPE = "\\ufffd"

# An escaped backslash and a proper pair are consumed whole, so that only a lone half reaches the group.
_SURROGATES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_ESCAPES = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')
# A quote stands inside a text when no JSON punctuation is next to it. OMDb's JSON is compact, so an opening
# quote directly follows its punctuation; a comma counts only when another text, object or list follows it.
_INNER_QUOTES = re.compile(r'(?<![{\[,:\\])(\\*)"(?!\s*(?:[}\]:]|,\s*["{\[]|$))')


def _null(_: str) -> None:
    """NaN, Infinity and -Infinity are no JSON; they mean "no number"."""


_STRICT = json.JSONDecoder(parse_constant=_null)
_LENIENT = json.JSONDecoder(strict=False, parse_constant=_null)

_ANY_OBJECT = SchemaValidator(core_schema.typed_dict_schema({}, extra_behavior="ignore"))
"""Reads a whole JSON object and makes nothing of it, which takes a fraction of the time."""

M = TypeVar("M", bound=BaseModel)


class LenientModel(BaseModel):
    """A model whose optional parts cannot fail it: what has a wrong type or shape counts as missing.

    A list loses its wrong items only. What is required still has to be there and right, otherwise the usual
    `pydantic.ValidationError` comes up, as it does for a value that is no object. The error never shows the
    input.

    The rule costs nothing while nothing is wrong, unlike validators written in Python, one a field.
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """As pydantic's, but leaves out wrong optional parts. Does not alter `obj`."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            if error.error_count() > MAX_WRONG:
                raise
            places = [e["loc"] for e in error.errors(include_url=False, include_context=False)]
            if () in places:
                raise
        return super().model_validate(_without(obj, places), **options)


def parse_json(body: bytes, *, max_bytes: int = MAX_BODY_BYTES) -> Any:
    """The JSON value that a body holds, repaired where it can be.

    Accepts what the APIs really sent: gzip without its header (TMDB, 2026-05-20,
    https://github.com/seerr-team/seerr/issues/3050), a byte order mark, invalid UTF-8 (replaced), raw control
    characters and illegal escapes (OMDb, https://github.com/omdbapi/OMDb-API/issues/53 and /322), unescaped
    quotes (OMDb, https://github.com/omdbapi/OMDb-API/issues/239), NaN and Infinity (read as null). Every text
    in the result can be encoded as UTF-8: half of a surrogate pair becomes U+FFFD.

    Args:
        body: the body as received.
        max_bytes: bound of the size, before and after unpacking.

    Raises:
        MalformedAnswer: nothing can be made of it, or it is too large or too deep.
    """
    text = _unpacked(body, max_bytes).removeprefix(_UTF8_BOM).decode("utf-8", errors="replace")
    if "\\ud" in text or "\\uD" in text:
        if len(text) > REPAIRABLE_BYTES:
            raise MalformedAnswer("JSON with broken texts, too large to be repaired", body)
        text = _SURROGATES.sub(lambda m: _REPLACEMENT_ESCAPE if m[1] else m[0], text)
    try:
        return _decoded(text)
    except _Unreadable as error:
        reason = _not_json(text, error.first)
    except RecursionError:
        reason = "JSON nested too deeply"
    except ValueError:  # int() refuses more than 4,300 digits
        reason = "JSON with a number of too many digits"
    # Raised out here, since inside the handler it would carry along an error that holds the whole text.
    raise MalformedAnswer(reason, body)


class NotWhole(Exception):
    """A body that is worth asking for once more: it is no JSON object or list, or its end is missing."""


def read_whole(body: bytes, model: type[M] | None = None) -> M | None:
    """Make sure that a body is whole, by reading it: it can be cut off behind any of its brackets.

    Args:
        body: the body as received.
        model: what it is read as; None: nothing is made of it, which takes a fraction of the time.

    Returns:
        What was read; None without a model, and for a body that is wrong in a way which will not pass, or has to be
        repaired: that is for `validate_json`.

    Raises:
        NotWhole: asking again may help.
    """
    text = body.removeprefix(_UTF8_BOM).strip()
    if text[:1] not in (b"{", b"["):
        raise NotWhole("the body is no JSON")
    if _has_too_many_values(text):
        return None
    try:
        if model is not None:
            return model.model_validate_json(text)
        _ANY_OBJECT.validate_json(text)
    except ValidationError as error:
        if error.error_count() > 1:
            return None
        (first,) = error.errors(include_url=False, include_input=False)
        if first["type"] == "json_invalid" and (
            first["ctx"]["error"].startswith("EOF") or _is_cut_off_though_repaired(text)
        ):
            raise NotWhole("the body is cut off") from None
    return None


def _is_cut_off_though_repaired(body: bytes) -> bool:
    try:
        _decoded(body.decode("utf-8", errors="replace"))
    except _Unreadable as error:
        return error.is_cut_off
    except (RecursionError, ValueError):
        pass
    return False


def _has_too_many_values(body: bytes) -> bool:
    if len(body) < 2 * MAX_VALUES:
        return False
    return sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES


def validate_json(model: type[M], body: bytes) -> M:
    """The body as a model.

    Args:
        model: usually a `LenientModel`.
        body: the body as received; the same oddities are accepted as by `parse_json`.

    Raises:
        MalformedAnswer: the body is not JSON, or lacks what the model requires. The reason names the first
            offending field and holds no input.
    """
    if len(body) <= MAX_BODY_BYTES and not _has_too_many_values(body):
        try:
            return model.model_validate_json(body)
        except ValidationError:
            pass
    return validate(model, parse_json(body), body)


def validate(model: type[M], value: object, body: bytes | None = None) -> M:
    """A parsed JSON value as a model; `body` is what a failure keeps, by default the value written as JSON.

    Raises:
        MalformedAnswer: the value lacks what the model requires. The reason names the first offending field.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        kept = _written(value) if body is None else body
        raise MalformedAnswer(_first_error(model, error), kept) from None


def _written(value: object) -> bytes:
    try:
        return json.dumps(value, default=str).encode()
    except (RecursionError, ValueError):
        return b""


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    """The body without its packing, within bounds of size and number: a small body can unfold to gigabytes."""
    pieces, size = [body], len(body)
    if body.startswith(GZIP_MAGIC) and size <= max_bytes:
        pieces, size = [], 0
        try:
            for piece in gunzipped(body, most_members=1):
                pieces.append(piece)
                size += len(piece)
                if size > max_bytes:
                    break
        except BrokenGzip:
            raise MalformedAnswer("gzip body that cannot be unpacked", body) from None
    if size > max_bytes:
        raise MalformedAnswer(f"body of more than {max_bytes:,} bytes", body)
    unpacked = b"".join(pieces)
    if _has_too_many_values(unpacked):
        raise MalformedAnswer(f"JSON of more than {MAX_VALUES:,} values", body)
    return unpacked


class _Unreadable(Exception):
    """No reading works."""

    def __init__(self, first: json.JSONDecodeError, last: json.JSONDecodeError) -> None:
        super().__init__()
        self.first = first
        rest = last.doc[last.pos :].strip()
        # A literal or an escape can be cut too: "fals", "\\u00e".
        is_at_the_end = len(rest) < 6 and rest[-1:] not in ("}", "]")
        self.is_cut_off = is_at_the_end or last.msg.startswith("Unterminated string")


def _decoded(text: str) -> Any:
    """The first reading that works, from the standard's to the most forgiving."""
    first = last = None
    for decoder, repaired in _readings(text):
        try:
            return decoder.decode(repaired)
        except json.JSONDecodeError as error:
            first, last = first or error, error
    assert first is not None and last is not None  # noqa: S101, PT018 -- there is a first reading
    raise _Unreadable(first, last) from None


def _readings(text: str) -> Iterator[tuple[json.JSONDecoder, str]]:
    yield _STRICT, text
    yield _LENIENT, text
    if len(text) > REPAIRABLE_BYTES:
        return
    text = _ESCAPES.sub(lambda m: m[0] if m[1] else r"\\", text)
    yield _LENIENT, text
    yield _LENIENT, _INNER_QUOTES.sub(_escaped_quote, text)


def _escaped_quote(quote: re.Match[str]) -> str:
    """The quote behind an odd number of backslashes: one more than none, one less than an even number."""
    backslashes = len(quote[1])
    if backslashes % 2 == 0:
        backslashes += -1 if backslashes else 1
    return "\\" * backslashes + '"'


def _not_json(text: str, error: json.JSONDecodeError) -> str:
    """Says what is wrong without quoting the body: an error page may echo the address, key included."""
    start = text.lstrip()[:1]
    if not start:
        return "empty body"
    if start == "<":
        return "not JSON but HTML or XML"
    return f"not JSON: {error.msg} at character {error.pos}"


def _first_error(model: type[BaseModel], error: ValidationError) -> str:
    if error.error_count() > MAX_WRONG:  # to list them would cost more than the body did
        return f"{model.__name__}: more than {MAX_WRONG:,} parts of a wrong type"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "body"
    return f"{model.__name__} {place}: {first['msg']}"[:MAX_REASON_CHARS]


def _without(value: Any, places: list[tuple[int | str, ...]]) -> Any:
    """A copy without the parts at these places; what lies beside the paths is shared, not copied."""
    deeper: dict[int | str, list[tuple[int | str, ...]]] = defaultdict(list)
    for place in places:
        deeper[place[0]].append(place[1:])
    gone = {head for head, tails in deeper.items() if () in tails}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    kept = [(k, _without(v, deeper[k]) if k in deeper else v) for k, v in items if k not in gone]
    return dict(kept) if isinstance(value, dict) else [v for _, v in kept]
