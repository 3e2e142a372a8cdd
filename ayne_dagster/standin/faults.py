"""What goes wrong at the stand-in, and when. No HTTP: how a fault looks is the server's matter."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from threading import Lock
from typing import Any, Literal, get_args

Kind = Literal[
    "status",
    "rejected",
    "html",
    "body",
    "reset",
    "truncated",
    "stall",
    "truncated_json",
    "empty_body",
    "invalid_json",
    "deep_json",
    "oversized",
    "gzip_without_header",
    "wrong_movie",
    "missing_subresources",
    "drip",
    "hang",
    "empty_page",
    "shrinking_total",
    "repeated_rows",
    "not_json",
    "robot_policy",
    "banned",
    "timeout_in_body",
    "no_results",
]
FaultSource = Literal["tmdb", "omdb", "wikidata", "the_numbers", "any"]

_ID = re.compile(r"(tt)?\d+")
_LISTINGS = ("/discover/", "/movie/changes")
_ONLY_LISTINGS = ("empty_page", "shrinking_total", "repeated_rows")
WIKIDATA_KINDS = ("robot_policy", "banned", "timeout_in_body", "no_results")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong for the requests that it matches.

    Kinds without an answer, or with a broken one: `reset` the connection ends without an answer; `truncated` the body
    ends before its Content-Length; `stall` half of the body comes, then nothing for `delay_seconds`, then the
    connection ends; `drip` the body takes `delay_seconds` to arrive; `hang` nothing happens for `delay_seconds`, then
    the answer comes.

    Kinds with another answer: `status` the API's JSON error with `status`; `rejected` TMDB's older error, 422 with a
    list of `errors`; `html` a gateway's HTML page with `status` (200 too); `not_json` plain text called JSON;
    `empty_body` no body at all; `body` the text in `message`, with `status`.

    Kinds with a spoilt answer: `truncated_json` half a body with a matching Content-Length; `invalid_json` a raw
    control character in its first title, as OMDb sends them; `deep_json` 100,000 nested lists; `oversized` more than
    10 MB; `gzip_without_header` a compressed body that is not declared so; `wrong_movie` another movie's body;
    `missing_subresources` append_to_response is ignored.

    Kinds of listings alone: `empty_page` no rows; `shrinking_total` each page promises fewer rows and pages than the
    one before; `repeated_rows` a page begins with the last rows of the page before it, and its own last are missing.

    Kinds of Wikidata alone: `robot_policy` a line about User-Agents, with `status` 403 or 200; `banned` a page that
    names an end `retry_after` seconds from now, a day by default; `timeout_in_body` half of the rows, then a trace,
    with 200; `no_results` JSON without its results.

    Raises:
        ValueError: unknown kind or source, or a number out of range.
    """

    kind: Kind
    source: FaultSource = "any"
    match: str | None = None
    """A movie's id (digits, or tt and digits), which must be the request's, or one of those in a query at Wikidata; or
    a part of path and query."""
    times: int | None = None
    """How many requests it befalls; None for no end."""
    ratio: float = 1.0
    """Share (0 to 1) of the matching requests that it befalls."""
    retry_after: float | None = None
    """Seconds for the Retry-After header of `status` and `html`; None for no header. How long `banned` is."""
    status: int = 500
    """HTTP status of `status`, `html`, `body` and `robot_policy`."""
    delay_seconds: float = 0.0
    """For `hang`, `stall` and `drip`."""
    message: str | None = None
    """The error text of `status`, None for what the API says with that status; the whole of `body`."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"unknown kind of fault: {self.kind!r}; one of {', '.join(get_args(Kind))}")
        _check_source(self.source)
        if not isinstance(self.ratio, int | float) or not 0 <= self.ratio <= 1:
            raise ValueError(f"ratio must be a share from 0 to 1, not {self.ratio!r}")
        if not 200 <= self.status <= 599:
            raise ValueError(f"status must be 200 to 599, not {self.status}")
        if self.delay_seconds < 0 or (self.times is not None and self.times < 0):
            raise ValueError("delay_seconds and times must not be negative")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fault:
        """A fault from its fields by name.

        Raises:
            ValueError: a field is unknown, missing or of the wrong type.
        """
        _check_fields(cls, data)
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    def concerns(self, source: str, target: str, movie: str | None) -> bool:
        """Whether a request is of the kind that this fault befalls, chance and number of times aside.

        A kind that would change nothing about the answer does not befall a request.
        """
        if self.kind in _ONLY_LISTINGS and not any(part in target for part in _LISTINGS):
            return False
        if self.kind == "repeated_rows" and "page=1&" in f"{target}&":
            return False
        if self.kind == "wrong_movie" and movie is None:
            return False
        if self.kind == "missing_subresources" and "append_to_response=" not in target:
            return False
        if self.kind == "rejected" and source != "tmdb":
            return False
        if self.kind in WIKIDATA_KINDS and source != "wikidata":
            return False
        return _matches(self.source, self.match, source, target, movie)


@dataclass(frozen=True)
class Script:
    """Faults in the order of requests: the nth request that matches meets the nth step, None being none.

    Raises:
        ValueError: unknown source, or a step that says itself when it befalls a request.
    """

    steps: tuple[Fault | None, ...]
    source: FaultSource = "any"
    match: str | None = None
    """As for `Fault`."""

    def __post_init__(self) -> None:
        _check_source(self.source)
        for step in self.steps:
            if step is not None and (step.source, step.match, step.times, step.ratio) != ("any", None, None, 1.0):
                raise ValueError("a step of a script has no source, match, times or ratio: the script says when")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Script:
        """A script from its fields by name; `steps` is a list of faults and nulls.

        Raises:
            ValueError: a field is unknown, missing or of the wrong type.
        """
        _check_fields(cls, data)
        steps = data["steps"]
        if not isinstance(steps, list | tuple) or not all(step is None or isinstance(step, dict) for step in steps):
            raise ValueError("steps must be a list of faults and nulls")
        return cls(**{**data, "steps": tuple(None if step is None else Fault.from_json(step) for step in steps)})

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {**asdict(self), "steps": [None if step is None else step.to_json() for step in self.steps]}

    def concerns(self, source: str, target: str, movie: str | None) -> bool:
        """Whether a request counts as one of the script's."""
        return _matches(self.source, self.match, source, target, movie)


Planned = Fault | Script


def planned_from_json(data: Any) -> list[Planned]:
    """Faults and scripts from a JSON list: what has `steps` is a script.

    Raises:
        ValueError: it is no list of faults and scripts; the text says what is wrong.
    """
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise ValueError("faults are a JSON list of objects")
    return [Script.from_json(entry) if "steps" in entry else Fault.from_json(entry) for entry in data]


def read_faults(text: str) -> list[Planned]:
    """`planned_from_json`, from the text of a file.

    Raises:
        ValueError: as there, or the text is no JSON.
    """
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    return planned_from_json(data)


class FaultPlan:
    """Decides which fault befalls a request: the first that matches, is not used up, and has its chance.

    A script that a request counts for decides alone, even when its step is no fault. Safe to use from several threads.

    Args:
        faults: in the order in which they are tried.
        seed: for the faults with a ratio; the same seed and requests give the same decisions.
    """

    def __init__(self, faults: Iterable[Planned] = (), *, seed: int = 1895) -> None:
        self._seed, self._lock = seed, Lock()
        self.replace(faults)

    def replace(self, faults: Iterable[Planned]) -> None:
        """Forget all faults and what they befell, start the chances anew, and plan these."""
        with self._lock:
            self._befallen: Counter[str] = Counter()
            self._random = random.Random(self._seed)
            self._faults: list[Planned] = []
            self._left: list[int | None] = []
            self._append(faults)

    def add(self, faults: Iterable[Planned]) -> None:
        """Plan more faults, after those that are planned."""
        with self._lock:
            self._append(faults)

    def decide(self, source: str, target: str, movie: str | None) -> Fault | None:
        """The fault for a request, or None; counts it as used.

        Args:
            source: "tmdb", "omdb", "wikidata" or "the_numbers".
            target: path and query, without keys.
            movie: the movie id in the request, if it has one.
        """
        if not self._faults:
            return None
        with self._lock:
            for k, planned in enumerate(self._faults):
                left = self._left[k]
                if left == 0 or not planned.concerns(source, target, movie):
                    continue
                if isinstance(planned, Fault) and planned.ratio < 1 and self._random.random() >= planned.ratio:
                    continue
                if left is not None:
                    self._left[k] = left - 1
                fault = planned.steps[-(left or 0)] if isinstance(planned, Script) else planned
                if fault is not None:
                    self._befallen[fault.kind] += 1
                return fault
        return None

    def pending(self) -> list[dict[str, Any]]:
        """The faults that are not used up, with the number of times, or the steps, that are left."""
        with self._lock:
            both = zip(self._faults, self._left, strict=True)
            return [_what_is_left(planned, left) for planned, left in both if left != 0]

    def befallen(self) -> dict[str, int]:
        """How many requests faults have befallen, by kind, since the plan was last replaced."""
        with self._lock:
            return dict(sorted(self._befallen.items()))

    def _append(self, faults: Iterable[Planned]) -> None:
        for planned in faults:
            self._faults.append(planned)
            self._left.append(len(planned.steps) if isinstance(planned, Script) else planned.times)


def _what_is_left(planned: Planned, left: int | None) -> dict[str, Any]:
    if isinstance(planned, Fault):
        return {**planned.to_json(), "times": left}
    told = planned.to_json()
    return {**told, "steps": told["steps"][-(left or 0) :]}


def _matches(wanted: str, match: str | None, source: str, target: str, movie: str | None) -> bool:
    if wanted not in ("any", source):
        return False
    if match is None:
        return True
    if not _ID.fullmatch(match):
        return match in target
    return match == movie or (source == "wikidata" and f"%22{match}%22" in target)


def _check_source(source: str) -> None:
    if source not in get_args(FaultSource):
        raise ValueError(f"unknown source: {source!r}; one of {', '.join(get_args(FaultSource))}")


def _check_fields(kind: type[Fault] | type[Script], data: Mapping[str, Any]) -> None:
    unknown = data.keys() - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"unknown field of a {kind.__name__.lower()}: {', '.join(sorted(unknown))}")
