"""Answers of Wikidata's query service, made row by row. No tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from ayne_dagster.config import ApiSettings, Settings
from ayne_dagster.sources.wikidata.client import AsyncWikidataClient

T = TypeVar("T")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE = "http://api.example/sparql"
CONTACT = "me@example.org"
ENTITY = "http://www.wikidata.org/entity/"
REF = f"{ENTITY}statement/Q900000001-ABCDEF01-2345-6789-abcd-ef0123456789"
XSD = "http://www.w3.org/2001/XMLSchema#"


def uri(value: str) -> dict[str, str]:
    return {"type": "uri", "value": value}


def entity(name: str) -> dict[str, str]:
    return uri(f"{ENTITY}{name}")


def literal(value: str, kind: str = "") -> dict[str, str]:
    return {"type": "literal", "value": value} | ({"datatype": f"{XSD}{kind}"} if kind else {})


def row(film: str = "Q900000001", keys: str = "Q900000001", **columns: Any) -> dict[str, Any]:
    """A row without a statement; further columns are added as they are."""
    return {"film": entity(film), "keys": literal(keys)} | columns


def stated(amount: str = "123456789", *, unit: str = "Q4917", ref: str = REF, **columns: Any) -> dict[str, Any]:
    """A row with a statement: a box office in US dollars unless told otherwise; a column that is None is left out."""
    full = {
        "property": literal("P2142"),
        "statement": uri(ref),
        "rank": uri("http://wikiba.se/ontology#NormalRank"),
        "amount": literal(amount, "decimal"),
        "unit": entity(unit),
    }
    made = row(**{k: v for k, v in columns.items() if k in ("film", "keys")}) | full
    made |= {k: v for k, v in columns.items() if k not in ("film", "keys")}
    return {name: value for name, value in made.items() if value is not None}


def result(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"head": {"vars": []}, "results": {"bindings": list(rows)}}).encode()


class Service:
    """Gives prepared answers, the last of them for ever, or what a function makes of a query; notes what is asked."""

    def __init__(self, *answers: httpx.Response | bytes | Callable[[str], httpx.Response | bytes]) -> None:
        self.answers = answers
        self.asked: list[httpx.Request] = []
        self.queries: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        query = httpx.QueryParams(request.content.decode())["query"]
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(request)
        self.queries.append(query)
        if callable(answer):
            answer = answer(query)
        return httpx.Response(200, content=answer) if isinstance(answer, bytes) else copy_of(answer)


def copy_of(answer: httpx.Response) -> httpx.Response:
    return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def with_client(
    use: Callable[[AsyncWikidataClient], Coroutine[Any, Any, T]], service: Service | None = None, **more: Any
) -> T:
    async def main() -> T:
        wire = httpx.MockTransport(service) if service is not None else None
        settings = more.pop("settings", Settings(wikidata=ApiSettings(BASE, 0.0, 1, 1)))
        options = {"settings": settings, "now": lambda: NOON, "wire": wire} | more
        async with AsyncWikidataClient(CONTACT, **options) as wikidata:
            return await use(wikidata)

    return asyncio.run(main())
