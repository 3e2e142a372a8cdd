"""The Wikidata client: what it asks, what it makes of answers and of everything that is none. Nothing waits."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from ayne_dagster import AsyncWikidataClient, WikidataClient
from ayne_dagster.config import ApiSettings, Settings, SettingsError
from ayne_dagster.sources import transport
from ayne_dagster.sources.errors import (
    InvalidCredentials,
    MalformedAnswer,
    QuotaExhausted,
    SourceBanned,
    SourceDown,
    SourceError,
    SourcePaused,
    SourceUnavailable,
    TooMuchAsked,
    WrongAddress,
)
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.transport import RetryTransport
from ayne_dagster.sources.trust import Trust
from ayne_dagster.sources.wikidata.client import MOST_REFUSED, WELL_KNOWN, Film, Statements, user_agent
from ayne_dagster.sources.wikidata.query import keys_of, question
from ayne_dagster.standin.faults import Fault, Script
from ayne_dagster.standin.running import StandIn
from ayne_dagster_tests.support.wikidata import BASE, CONTACT, NOON, Service, result, row, stated, with_client

ANSWERED = tuple[dict[int, Statements], int]
TRACE = (
    b"SPARQL-QUERY: queryStr=SELECT\njava.util.concurrent.TimeoutException\n"
    b"\tat java.util.concurrent.FutureTask.get(FutureTask.java:205)\n"
)
POLICY = b"Please set a user-agent and respect our robot policy https://w.wiki/4wJS. See also T400119."
TIMED_OUT = httpx.Response(500, content=TRACE)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Attempts follow each other at once; how long they were to wait is noted."""
    noted: list[float] = []

    async def at_once(seconds: float) -> None:
        noted.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(transport, "RetryTransport", partial(RetryTransport, sleep=at_once))
    return noted


@pytest.fixture(scope="module")
def running() -> Iterator[StandIn]:
    with StandIn(1200, epoch=NOON.date()) as standin:
        yield standin


@pytest.fixture
def standin(running: StandIn) -> StandIn:
    running.clear_faults()
    running.clear_log()
    running.set_now(NOON)
    return running


def at(standin: StandIn) -> Settings:
    return Settings(wikidata=ApiSettings(standin.wikidata_url, 0.0, 1, 1, retry_wait=0.0))


def films_of(standin: StandIn, number: int) -> list[Film]:
    films = []
    for tmdb_id in list(standin.catalogue.ids(NOON))[:number]:
        body = standin.catalogue.details(tmdb_id, NOON, frozenset(["external_ids"])) or {}
        films.append(Film(tmdb_id, body["imdb_id"] or None, body["external_ids"]["wikidata_id"]))
    return films


def some_films(number: int) -> list[Film]:
    return [Film(n, f"tt{n:07}", f"Q{n}") for n in range(1, number + 1)]


def fetch(service: Service, films: list[Film], **more: Any) -> ANSWERED:
    return with_client(lambda client: client.fetch_figures(films), service, **more)


def asked_items(query: str) -> list[str]:
    return re.findall(r"wd:(Q[1-9]\d*)", query.partition("OPTIONAL")[0])


def everything(query: str) -> bytes:
    """An answer in which each item that is asked for has a figure."""
    ref = "http://www.wikidata.org/entity/statement/{}-A1"
    return result(*(stated(film=item, keys=item, ref=ref.format(item)) for item in asked_items(query)))


def above(most: int, failure: httpx.Response = TIMED_OUT) -> Callable[[str], httpx.Response | bytes]:
    """A service that bears so many items in a query."""
    return lambda query: failure if len(asked_items(query)) > most else everything(query)


# What is asked


def test_a_batch_is_one_request_by_all_keys_at_once_as_a_form() -> None:
    service = Service(result())
    answers, requests = fetch(service, [Film(7, "tt0000007", "Q7"), Film(8, "tt0000008"), Film(9)])
    (request,) = service.asked
    assert (request.method, str(request.url), requests) == ("POST", BASE, 1)
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept"] == "application/sparql-results+json"
    assert "VALUES ?film { wd:Q7 }" in service.queries[0]
    assert 'VALUES ?key { "tt0000007" "tt0000008" }' in service.queries[0]
    assert 'VALUES ?key { "7" "8" "9" }' in service.queries[0]
    assert answers == {n: Statements(False, None, ()) for n in (7, 8, 9)}


def test_who_asks_says_so_as_the_policy_wants_it() -> None:
    service = Service(result())
    fetch(service, some_films(1))
    agent = service.asked[0].headers["user-agent"]
    assert re.fullmatch(r"ayne_dagster-bot/\d\S* \(me@example\.org\) httpx/\d\S*", agent)
    assert service.asked[0].headers.get_list("user-agent") == [agent]


def test_without_a_contact_nothing_is_made_that_could_ask() -> None:
    with pytest.raises(InvalidCredentials, match="AYNE_CONTACT"):
        AsyncWikidataClient(settings=Settings())
    assert Settings(contact=CONTACT).wikidata_off_because is None


@pytest.mark.parametrize("contact", ["me", "me@example.org (hello)", "me@example.org\r\nx: y", "you\u0430@example.org"])
def test_a_contact_that_no_header_bears_is_refused(contact: str) -> None:
    with pytest.raises(SettingsError, match="AYNE_CONTACT must be a mail or web address"):
        user_agent(contact)


@pytest.mark.parametrize(
    ("film", "keys"),
    [
        (Film(7, "tt0000007", "Q7"), ("Q7", "tt0000007", "7")),
        (Film(7, "tt00000007", " q7 "), ("Q7", "tt0000007", "7")),
        (Film(7, 'tt1" } UNION { ?s ?p ?o', 'Q1 } { "'), ("7",)),
        (Film(7, "nm0000007", "P345"), ("7",)),
        (Film(0, None, None), ()),
        (Film(-1, "", ""), ()),
    ],
)
def test_what_is_no_key_is_never_part_of_a_query(film: Film, keys: tuple[str, ...]) -> None:
    assert keys_of(film) == keys


def test_a_query_has_no_empty_list_and_no_order_of_its_own() -> None:
    assert question(["5"]).count('"-"') == 1
    assert "wd:Q0 " in question(["5"])
    assert question(["Q5", "Q4", "tt0000001"]) == question(["tt0000001", "Q4", "Q5", "Q4"])


def test_films_without_any_key_cost_nothing() -> None:
    service = Service(result())
    assert fetch(service, [Film(0), Film(-3)]) == ({0: Statements(False, None, ()), -3: Statements(False, None, ())}, 0)
    assert fetch(service, []) == ({}, 0)
    assert service.asked == []


def test_more_films_than_a_batch_has_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 200 films at a time, not 201"):
        fetch(Service(result()), some_films(201))


# What an answer says


def test_an_item_with_figures_an_item_without_and_none_are_told_apart() -> None:
    service = Service(result(stated(film="Q1", keys="Q1 tt0000001 1"), row("Q2", "Q2")))
    answers, _ = fetch(service, some_films(3))
    assert (answers[1].found, answers[1].wikidata_id, len(answers[1].figures)) == (True, "Q1", 1)
    assert answers[2] == Statements(True, "Q2", ())
    assert answers[3] == Statements(False, None, ())


def test_a_merged_item_is_found_by_the_next_key() -> None:
    service = Service(result(stated(film="Q77", keys="tt0000001")))
    answers, _ = fetch(service, [Film(1, "tt0000001", "Q1")])
    assert (answers[1].wikidata_id, len(answers[1].figures)) == ("Q77", 1)


def test_the_best_key_wins_where_several_lead_to_figures() -> None:
    rows = [stated("111111", film="Q5", keys="1"), stated("222222", film="Q9", keys="tt0000001")]
    answers, _ = fetch(Service(result(*rows)), [Film(1, "tt0000001", "Q1")])
    assert (answers[1].wikidata_id, answers[1].figures[0]["amount"]) == ("Q9", Decimal("222222.00"))


def test_an_item_that_states_nothing_gives_way_to_one_of_the_same_film_that_does() -> None:
    rows = [row("Q1", "Q1 tt0000001"), stated(film="Q8", keys="tt0000001"), row("Q9", "tt0000001")]
    answers, _ = fetch(Service(result(*rows)), [Film(1, "tt0000001", "Q1")])
    assert answers[1].wikidata_id == "Q8"


def test_of_two_items_of_one_film_the_older_counts_and_figures_are_never_mixed() -> None:
    rows = [stated(film="Q900", keys="tt0000001"), stated("5000000", film="Q80", keys="tt0000001")]
    answers, _ = fetch(Service(result(*rows)), [Film(1, "tt0000001")])
    assert (answers[1].wikidata_id, [f["amount"] for f in answers[1].figures]) == ("Q80", [Decimal("5000000.00")])


def test_two_films_of_one_key_and_one_item_of_two_keys_have_the_same_answer() -> None:
    service = Service(result(stated(film="Q1", keys="tt0000001 tt0000002")))
    answers, _ = fetch(service, [Film(1, "tt0000001"), Film(2, "tt0000002"), Film(3, "tt0000001")])
    assert answers[1] == answers[2] == answers[3]
    assert answers[1].found


def test_a_day_that_is_still_to_come_by_the_platforms_clock_is_none() -> None:
    told = result(stated(film="Q1", keys="Q1", time={"type": "literal", "value": "2026-02-01T00:00:00Z"}))
    known, _ = fetch(Service(told), some_films(1))
    ahead, _ = fetch(Service(told), some_films(1), now=lambda: NOON - timedelta(days=60))
    assert (known[1].figures[0]["as_of"] is None, ahead[1].figures[0]["as_of"] is None) == (False, True)


# What is no answer


ONCE: dict[str, tuple[httpx.Response, type[SourceError], str]] = {
    "policy, 403": (httpx.Response(403, content=POLICY), InvalidCredentials, "AYNE_CONTACT"),
    "policy, 200": (httpx.Response(200, content=POLICY), InvalidCredentials, "AYNE_CONTACT"),
    "bad query": (httpx.Response(400, content=b"SPARQL-QUERY: x\nMalformedQueryException"), WrongAddress, "HTTP 400"),
    "no endpoint": (httpx.Response(404, content=b"<html>"), WrongAddress, "AYNE_WIKIDATA_BASE_URL"),
    "no such method": (httpx.Response(405, content=b""), WrongAddress, "HTTP 405"),
    "elsewhere": (
        httpx.Response(301, headers={"location": "https://x.example/"}),
        WrongAddress,
        "AYNE_WIKIDATA_BASE_URL",
    ),
    "banned": (httpx.Response(403, content=b"<html><title>banned until 2099-01-01T00:00:00Z"), SourceBanned, "403"),
}


@pytest.mark.parametrize("kind", ONCE)
def test_what_concerns_all_films_stops_at_the_first_request_with_one_clear_line(kind: str) -> None:
    answer, error, words = ONCE[kind]
    service = Service(answer)
    with pytest.raises(error, match=words) as caught:
        fetch(service, some_films(200))
    assert (len(service.asked), caught.value.requests) == (1, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, content=b"<html>"),
        httpx.Response(503, content=b"<html>overloaded"),
        httpx.Response(504, content=b"<html>"),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b"<html>hello</html>"),
        httpx.Response(200, content=b'{"head": {}, "results": {"bindings": ['),
        httpx.Response(500, content=b"something else"),
    ],
)
def test_what_may_pass_is_asked_again(answer: httpx.Response) -> None:
    service = Service(answer, everything)
    answers, requests = fetch(service, some_films(2))
    assert (requests, len(service.asked)) == (2, 2)
    assert all(statements.figures for statements in answers.values())


def test_what_does_not_pass_is_no_answer_with_what_it_cost() -> None:
    service = Service(httpx.Response(502))
    with pytest.raises(SourceUnavailable, match="HTTP 502") as caught:
        fetch(service, some_films(2))
    assert caught.value.requests == len(service.asked) == transport.ATTEMPTS


@pytest.mark.parametrize("body", [b'{"head": {"vars": []}}', b'{"results": {}}', result(row(keys="Q4711"))])
def test_json_that_is_no_answer_is_each_films_failure_and_not_asked_again(body: bytes) -> None:
    service = Service(body)
    answers, requests = fetch(service, some_films(3))
    assert (requests, len(service.asked), set(answers)) == (1, 1, {1, 2, 3})
    for statements in answers.values():
        assert isinstance(statements.failure, MalformedAnswer)
        assert statements.failure.body == body
        assert not statements.found


@pytest.mark.parametrize(("header", "wait"), [("0", 5.0), ("2", 5.0), ("9", 9.0), (None, 60.0), ("nonsense", 60.0)])
def test_after_a_refusal_it_waits_as_it_is_told_and_never_less_than_five_seconds(
    waits: list[float], header: str | None, wait: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ayne_dagster.sources.limits.account.Account.pause_left", 0.0)
    refusal = httpx.Response(429, headers={"retry-after": header} if header is not None else {}, content=b"<html>")
    service = Service(refusal, everything)
    answers, requests = fetch(service, some_films(1))
    assert waits == [wait]
    assert (requests, answers[1].found) == (2, True)


def test_a_longer_pause_than_a_run_waits_for_ends_it(waits: list[float]) -> None:
    service = Service(httpx.Response(429, headers={"retry-after": "600"}))
    with pytest.raises(SourcePaused, match="600 s"):
        fetch(service, some_films(1))
    assert (len(service.asked), waits) == (1, [])


def test_long_before_it_would_be_banned_a_client_that_is_refused_asks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ayne_dagster.sources.limits.account.Account.pause_left", 0.0)
    service = Service(httpx.Response(429, headers={"retry-after": "0"}))

    async def insist(client: AsyncWikidataClient) -> None:
        for _ in range(100):
            with pytest.raises(SourceUnavailable):
                await client.fetch_figures(some_films(1))

    with_client(insist, service)
    assert len(service.asked) == MOST_REFUSED


# Bans


def test_a_ban_is_kept_until_its_end_by_all_who_share_the_ledger(tmp_path: Path) -> None:
    ends = (datetime.now(UTC) + timedelta(hours=20)).isoformat()
    service = Service(httpx.Response(403, content=f"<html><title>You have been banned until {ends}, …".encode()))
    for _ in range(2):  # another process is another ledger of the same file
        with pytest.raises(SourcePaused) as caught:
            fetch(service, some_films(1), ledger=RequestLedger(tmp_path / "ledger.sqlite"))
    assert len(service.asked) == 1
    assert caught.value.requests == 0
    assert int(re.findall(r"(\d+) s are left", str(caught.value))[0]) == pytest.approx(72_000, abs=60)


@pytest.mark.parametrize(
    ("page", "headers", "seconds"),
    [
        (b"<title>banned</title>", {}, 3600.0),
        (b"<title>banned</title>", {"retry-after": "900"}, 900.0),
        (b"<title>banned until 2001-01-01T00:00:00Z</title>", {}, 60.0),
        (b"<title>banned until 2001-13-77T99:00:00Z</title>", {"retry-after": "0"}, 60.0),
        (b"<title>banned until 9999-12-31T23:59:59+00:00</title>", {}, 172_800.0),
    ],
)
def test_a_ban_lasts_as_long_as_the_page_says_within_bounds(
    page: bytes, headers: dict[str, str], seconds: float
) -> None:
    async def banned(client: AsyncWikidataClient) -> float:
        with pytest.raises(SourceBanned):
            await client.fetch_figures(some_films(1))
        return client.account.pause_left

    left = with_client(banned, Service(httpx.Response(403, headers=headers, content=page)))
    assert left == pytest.approx(seconds, abs=60 if seconds < 1000 else 5)


# Too much at once

TOO_MUCH = {
    "500": TIMED_OUT,
    "cut off in a 200": httpx.Response(200, content=everything("wd:Q1 OPTIONAL")[:150] + TRACE),
    "in a text of JSON": httpx.Response(200, content=b'{"results": {"bindings": [{"film": "' + TRACE),
    "414": httpx.Response(414, content=b"<html>"),
    "QLever's": httpx.Response(429, content=b'{"exception": "Operation timed out."}'),
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_a_query_that_is_too_much_is_halved_and_never_sent_again(kind: str) -> None:
    service = Service(above(3, TOO_MUCH[kind]))
    answers, requests = fetch(service, some_films(10))
    assert all(statements.figures and statements.failure is None for statements in answers.values())
    assert len(answers) == 10
    assert requests == len(service.asked)
    assert [len(asked_items(query)) for query in service.queries] == [10, 5, 3, 2, 5, 3, 2]
    assert len(set(service.queries)) == len(service.queries)


def test_what_was_too_much_once_is_not_tried_again_and_again() -> None:
    service = Service(above(150))

    async def all_of_them(client: AsyncWikidataClient) -> int:
        requests = 0
        for start in range(0, 2_000, 200):
            answers, spent = await client.fetch_figures(some_films(2_000)[start : start + 200])
            requests += spent
            assert len(answers) == 200
        return requests

    assert with_client(all_of_them, service) == len(service.asked) == 21


def test_after_a_while_larger_batches_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ayne_dagster.sources.wikidata.client.GROWS_AFTER", 2)
    service = Service(TIMED_OUT, everything)

    async def some(client: AsyncWikidataClient) -> None:
        for _ in range(4):
            await client.fetch_figures(some_films(200))

    with_client(some, service)
    assert [len(asked_items(query)) for query in service.queries] == [200, 100, 100, 100, 100, 100, 100, 200]


def test_one_film_that_times_out_alone_costs_no_other_its_answer() -> None:
    service = Service(lambda query: TIMED_OUT if "Q77" in asked_items(query) else everything(query))

    async def twice(client: AsyncWikidataClient) -> ANSWERED:
        first = await client.fetch_figures(some_films(100))
        assert (await client.fetch_figures(some_films(50)))[1] == 1, "nor does it make the batches of others small"
        return first

    answers, requests = with_client(twice, service)
    assert isinstance(answers[77].failure, TooMuchAsked)
    assert sum(bool(statements.figures) for statements in answers.values()) == 99
    assert requests < 20


def test_a_service_that_bears_nothing_is_found_out_and_not_asked_film_by_film() -> None:
    service = Service(TIMED_OUT)
    with pytest.raises(SourceUnavailable, match="single film") as caught:
        fetch(service, some_films(200))
    assert caught.value.requests == len(service.asked) < 12


def test_what_was_brought_before_the_end_is_kept() -> None:
    def only_five(query: str) -> httpx.Response | bytes:
        return TIMED_OUT if len(asked_items(query)) > 5 else everything(query)

    service = Service(only_five, only_five, httpx.Response(403, content=POLICY))
    answers, requests = fetch(service, some_films(10))
    assert (requests, len(service.asked)) == (3, 3)
    assert all(answers[n].figures for n in range(1, 6))
    assert {type(answers[n].failure) for n in range(6, 11)} == {InvalidCredentials}


def limited(quota: int) -> Settings:
    return Settings(wikidata=ApiSettings(BASE, 0.0, 1, 1, daily_quota=quota))


def test_the_days_quota_is_charged_for_every_part() -> None:
    service = Service(above(5))
    answers, requests = fetch(service, some_films(10), settings=limited(2))
    assert (len(service.asked), requests) == (2, 2)
    assert [type(answers[n].failure) for n in (1, 10)] == [type(None), QuotaExhausted]


def test_a_quota_that_is_used_up_sends_nothing() -> None:
    ledger, service = RequestLedger.in_memory(), Service(everything)
    fetch(service, some_films(1), settings=limited(1), ledger=ledger)
    with pytest.raises(QuotaExhausted) as caught:
        fetch(service, some_films(1), settings=limited(1), ledger=ledger)
    assert (len(service.asked), caught.value.requests) == (1, 0)


# The control question


def test_the_control_question_is_one_request_for_items_that_surely_have_figures() -> None:
    service = Service(everything)
    with_client(lambda client: client.probe(), service)
    with_client(lambda client: client.probe(["Q5"]), service)
    assert [asked_items(query) for query in service.queries] == [list(WELL_KNOWN), ["Q5"]]


def test_an_engine_that_knows_nothing_or_states_nothing_is_not_up() -> None:
    for told in (result(), result(row("Q24871", "Q24871"))):
        with pytest.raises(MalformedAnswer, match="states nothing of Q24871, Q44578"):
            with_client(lambda client: client.probe(), Service(told))


def test_a_collection_that_is_told_of_nothing_asks_the_control_question_and_ends() -> None:
    service = Service(result())

    async def collect(client: AsyncWikidataClient) -> None:
        client.account.trust = Trust(client.probe, "Look at AYNE_WIKIDATA_BASE_URL.")
        for _ in range(30):
            await client.fetch_figures(some_films(2))

    with pytest.raises(SourceDown, match="AYNE_WIKIDATA_BASE_URL"):
        with_client(collect, service)
    assert len(service.asked) == 11


def test_items_that_answer_are_what_the_control_question_asks_for() -> None:
    asked: list[tuple[Any, ...]] = []

    async def control(known: Any) -> None:
        asked.append(tuple(known))

    async def collect(client: AsyncWikidataClient) -> None:
        client.account.trust = trust = Trust(control)
        await client.fetch_figures(some_films(3))
        await trust.settle()

    with_client(collect, Service(everything))
    assert asked == [("Q1",)]


# Over HTTP


def test_ten_thousand_films_are_fifty_requests_and_here_twelve_hundred_are_six(standin: StandIn) -> None:
    films = films_of(standin, 1200)
    answers = with_client(lambda client: client.get_figures(films), settings=at(standin))
    assert set(answers) == {film.tmdb_id for film in films}
    assert standin.requests()["wikidata"] == -(-len(films) // 200) == 6
    found = [statements for statements in answers.values() if statements.found]
    assert 0.6 < len(found) / len(films) < 0.95
    assert any(statements.wikidata_id not in {film.wikidata_id for film in films} for statements in found)
    refs = [(s.wikidata_id, str(figure["source_ref"])) for s in found for figure in s.figures]
    assert refs
    assert all(ref.split("statement/")[1].split("-")[0].upper() == item for item, ref in refs), "each to its source"


def test_the_standins_order_changes_and_the_answer_does_not(standin: StandIn) -> None:
    films = films_of(standin, 200)
    first, second = (with_client(lambda client: client.fetch_figures(films), settings=at(standin))[0] for _ in range(2))
    assert first == second


def test_the_standin_wants_to_know_who_asks(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ayne_dagster.sources.wikidata.client.user_agent", lambda contact: "python-httpx/0.28")
    with pytest.raises(InvalidCredentials, match="AYNE_CONTACT"):
        with_client(lambda client: client.probe(), settings=at(standin))
    assert standin.statuses()["wikidata"] == {"403": 1}


FAULTS: list[tuple[Fault, int]] = [
    (Fault("html", "wikidata", status=503, times=1), 2),
    (Fault("html", "wikidata", status=504, times=2), 3),
    (Fault("empty_body", "wikidata", times=1), 2),
    (Fault("reset", "wikidata", times=1), 2),
    (Fault("truncated", "wikidata", times=1), 2),
    (Fault("truncated_json", "wikidata", times=1), 2),
    (Fault("drip", "wikidata", times=1, delay_seconds=0.1), 1),
    (Fault("gzip_without_header", "wikidata", times=1), 1),
    (Fault("timeout_in_body", "wikidata", times=1), 3),
    (Fault("status", "wikidata", status=500, times=1), 3),
]


@pytest.mark.parametrize(
    ("fault", "requests"), FAULTS, ids=lambda value: value.kind if isinstance(value, Fault) else ""
)
def test_a_fault_of_the_service_that_passes_leaves_the_same_answer(
    standin: StandIn, fault: Fault, requests: int
) -> None:
    films = films_of(standin, 60)
    expected, _ = with_client(lambda client: client.fetch_figures(films), settings=at(standin))
    standin.inject(fault)
    answers, spent = with_client(lambda client: client.fetch_figures(films), settings=at(standin))
    assert (answers, spent) == (expected, requests)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("robot_policy", "wikidata", status=403), InvalidCredentials),
        (Fault("robot_policy", "wikidata", status=200), InvalidCredentials),
        (Fault("banned", "wikidata", retry_after=7200), SourceBanned),
    ],
)
def test_a_refusal_of_the_service_is_told_after_one_request(
    standin: StandIn, fault: Fault, error: type[SourceError]
) -> None:
    standin.inject(fault)
    with pytest.raises(error):
        with_client(lambda client: client.fetch_figures(films_of(standin, 5)), settings=at(standin))
    assert standin.requests()["wikidata"] == 1


def test_a_single_film_that_always_times_out_is_the_one_that_fails(standin: StandIn) -> None:
    films = films_of(standin, 40)
    odd = next(film for film in films if film.imdb_id)
    standin.inject(Fault("status", "wikidata", status=500, match=odd.imdb_id))
    answers, _ = with_client(lambda client: client.fetch_figures(films), settings=at(standin))
    assert [tmdb_id for tmdb_id, statements in answers.items() if statements.failure] == [odd.tmdb_id]


def test_a_script_of_refusals_ends_in_a_ban_that_is_kept(standin: StandIn) -> None:
    refused = Fault("status", status=429, retry_after=0)
    standin.inject(Script((refused, Fault("banned")), "wikidata"))

    async def ask(client: AsyncWikidataClient) -> None:
        client.account._looked_at = float("inf")  # the pause of 5 s is not waited for
        for _ in range(3):
            with pytest.raises(SourcePaused):
                await client.fetch_figures(films_of(standin, 2))
            client.account._looked_at = float("-inf")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ayne_dagster.sources.wikidata.rules.LEAST_PAUSE", 0.0)
        with_client(ask, settings=at(standin))
    assert standin.statuses()["wikidata"] == {"403": 1, "429": 1}


def test_the_blocking_client_answers_as_the_other_and_leaves_no_thread(standin: StandIn) -> None:
    films, before = films_of(standin, 30), set(threading.enumerate())
    expected = with_client(lambda client: client.get_figures(films), settings=at(standin))
    with WikidataClient(CONTACT, settings=at(standin), now=lambda: NOON) as wikidata:
        assert wikidata.get_figures(films) == expected
    assert set(threading.enumerate()) == before
