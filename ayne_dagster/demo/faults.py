"""What goes wrong at the stand-in, and when. No HTTP: how a fault looks is the server's matter."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from threading import Lock
from typing import Any, Literal, get_args

Kind = Literal[
    "status",
    "html",
    "reset",
    "truncated",
    "truncated_json",
    "gzip_without_header",
    "wrong_movie",
    "missing_subresources",
    "drip",
    "hang",
    "empty_page",
    "not_json",
]
FaultSource = Literal["tmdb", "omdb", "any"]

_ID = re.compile(r"(tt)?\d+")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong for the requests that it matches.

    Kinds: `status` the API's JSON error with `status`; `html` a gateway's HTML page with `status`; `reset`
    the connection ends without an answer; `truncated` the body ends before its Content-Length;
    `truncated_json` half a body with a matching Content-Length; `gzip_without_header` a compressed body that
    is not declared so; `wrong_movie` another movie's body; `missing_subresources` append_to_response is
    ignored; `drip` the body takes `delay_seconds` to arrive; `hang` nothing happens for `delay_seconds`, then
    the answer comes; `empty_page` a listing without rows; `not_json` plain text called JSON.

    Raises:
        ValueError: unknown kind or source, or a number out of range.
    """

    kind: Kind
    source: FaultSource = "any"
    match: str | None = None
    """A movie's id (digits, or tt and digits), which must be the request's; or a part of path and query."""
    times: int | None = None
    """How many requests it befalls; None for no end."""
    ratio: float = 1.0
    """Share (0 to 1) of the matching requests that it befalls."""
    retry_after: float | None = None
    """Seconds for the Retry-After header of `status` and `html`; None for no header."""
    status: int = 500
    """HTTP status of `status` and `html`."""
    delay_seconds: float = 0.0
    """For `hang` and `drip`."""
    message: str | None = None
    """The error text of `status`; None for what the API says with that status."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"unknown kind of fault: {self.kind!r}; one of {', '.join(get_args(Kind))}")
        if self.source not in get_args(FaultSource):
            raise ValueError(f"unknown source: {self.source!r}; one of {', '.join(get_args(FaultSource))}")
        if not 0 <= self.ratio <= 1:
            raise ValueError(f"ratio must be a share from 0 to 1, not {self.ratio}")
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
        unknown = data.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown field of a fault: {', '.join(sorted(unknown))}")
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    def concerns(self, source: str, target: str, movie: str | None) -> bool:
        """Whether a request is of the kind that this fault befalls, chance and number of times aside."""
        if self.source not in ("any", source):
            return False
        if self.match is None:
            return True
        return self.match == movie if _ID.fullmatch(self.match) else self.match in target


class FaultPlan:
    """Decides which fault befalls a request: the first that matches, is not used up, and has its chance.

    Safe to use from several threads.

    Args:
        faults: in the order in which they are tried.
        seed: for the faults with a ratio; the same seed and requests give the same decisions.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 1895) -> None:
        self._seed, self._lock = seed, Lock()
        self.replace(faults)

    def replace(self, faults: Iterable[Fault]) -> None:
        """Forget all faults, start the chances anew, and plan these."""
        with self._lock:
            self._random = random.Random(self._seed)
            self._faults: list[Fault] = []
            self._left: list[int | None] = []
            self._append(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Plan more faults, after those that are planned."""
        with self._lock:
            self._append(faults)

    def decide(self, source: str, target: str, movie: str | None) -> Fault | None:
        """The fault for a request, or None; counts it as used.

        Args:
            source: "tmdb" or "omdb".
            target: path and query, without keys.
            movie: the movie id in the request, if it has one.
        """
        if not self._faults:
            return None
        with self._lock:
            for k, fault in enumerate(self._faults):
                left = self._left[k]
                if left == 0 or not fault.concerns(source, target, movie):
                    continue
                if fault.ratio < 1 and self._random.random() >= fault.ratio:
                    continue
                if left is not None:
                    self._left[k] = left - 1
                return fault
        return None

    def pending(self) -> list[dict[str, Any]]:
        """The faults that are not used up, with the number of times that is left."""
        with self._lock:
            both = zip(self._faults, self._left, strict=True)
            return [{**fault.to_json(), "times": left} for fault, left in both if left != 0]

    def _append(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self._faults.append(fault)
            self._left.append(fault.times)
