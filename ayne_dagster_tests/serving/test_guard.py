"""Which requests reach Dagster's web server, by what a browser says of them. Without a browser, and without Dagster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from ayne_dagster.serving.guard import Guard, at_hosts, authority_of
from ayne_dagster.serving.ui import guarded

JSON = ("content-type", "application/json")
OURS = "127.0.0.1:3000"
MUTATION = b"query=mutation%7BdeleteRun%7D"
PAGE = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]


class Inner:
    """An application that answers 200 to everything, and notes what reached it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope["type"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-inner", b"1")]})
            await send({"type": "http.response.body", "body": b"ok"})


def ask(
    *headers: tuple[str, str],
    host: str | None = OURS,
    method: str = "GET",
    path: str = "/",
    query: bytes = b"",
    kind: str = "http",
    also: tuple[str, ...] = (),
) -> int:
    """The status of the answer to a request; 200 alone says that it reached the application."""
    status, _ = answer(*headers, host=host, method=method, path=path, query=query, kind=kind, also=also)
    return status


def answer(
    *headers: tuple[str, str],
    host: str | None = OURS,
    method: str = "GET",
    path: str = "/",
    query: bytes = b"",
    kind: str = "http",
    also: tuple[str, ...] = (),
) -> tuple[int, Mapping[bytes, bytes]]:
    named = headers if host is None else (("host", host), *headers)
    scope: dict[str, Any] = {
        "type": kind,
        "path": path,
        "query_string": query,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named],
    }
    if kind == "http":
        scope["method"] = method
    sent: list[Message] = []
    inner = Inner()

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("the guard reads no body")

    asyncio.run(guarded(inner, also)(scope, receive, send))
    first = sent[0]
    if kind == "websocket":
        status = 200 if first["type"] == "websocket.accept" else 403
        assert first["type"] in ("websocket.accept", "websocket.close")
    else:
        status = first["status"]
    assert (status == 200) == bool(inner.reached)
    return status, dict(first.get("headers", ()))


# Hosts


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:3000", "localhost", "LocalHost:8080", "localhost.", "localhost.:3000", "[::1]", "[::1]:1"],
)
def test_the_loopback_names_are_served_at_any_port(host: str) -> None:
    assert ask(host=host) == 200
    assert ask(host=host, kind="websocket", path="/graphql") == 200


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example", "rebound.example:3000", "127.0.0.1.rebound.example", "localhost.rebound.example",
        "evil.localhost", "127.0.0.1@rebound.example", "127.0.0.1:3000@rebound.example", "localhost,rebound.example",
        "localhost rebound.example", "localhost/", "0.0.0.0",  # noqa: S104 -- asked for, not listened on
        "0", "127.1", "2130706433", "0x7f000001", "127.0.0.2",
        "[::]", "[::ffff:127.0.0.1]", "::1", "[::1", "", " ", ".", "localhost..", "localhost:", "localhost:x",
        "localhost:99999", "localhost:0", "localhost:+80", "*", "lo*", "LOCALHOST\xa0", "xn--localhost",
        "\xb9localhost",
    ],
)  # fmt: skip
def test_no_other_name_is_served(host: str) -> None:
    assert ask(host=host) == 403
    assert ask(JSON, host=host, method="POST", path="/graphql") == 403
    assert ask(host=host, kind="websocket", path="/graphql") == 403


def test_a_request_has_one_host_and_names_it_in_its_header() -> None:
    assert ask(host=None) == 400
    assert ask(("host", OURS)) == 400, "twice the same, too"
    assert ask(("host", "rebound.example")) == 400
    assert ask(path="http://127.0.0.1:3000/graphql") == 400
    assert ask(path="http://rebound.example/") == 400
    assert ask(path="*", method="OPTIONS") == 400
    assert ask(host=None, kind="websocket", path="/graphql") == 403


@pytest.mark.parametrize("name", ["x-forwarded-host", "forwarded", "x-host", "x-original-host", "x-forwarded-server"])
def test_what_else_says_which_host_was_meant_is_not_believed(name: str) -> None:
    assert ask((name, "127.0.0.1:3000"), host="rebound.example") == 403
    assert ask((name, "rebound.example")) == 200


def test_further_names_are_served_when_the_settings_name_them() -> None:
    also = ("ayne.example.org", "films.lan:8443", "[fd00::1]")
    assert ask(host="ayne.example.org", also=also) == 200
    assert ask(host="AYNE.example.org.:99", also=also) == 200
    assert ask(host="films.lan:8443", also=also) == 200
    assert ask(host="[fd00::1]:3000", also=also) == 200
    assert ask(host="films.lan", also=also) == 403
    assert ask(host="films.lan:8444", also=also) == 403
    assert ask(host="x.ayne.example.org", also=also) == 403
    assert ask(host="ayne.example.organic", also=also) == 403
    assert ask(host="localhost", also=also) == 200


@pytest.mark.parametrize("name", ["*", "*.example.org", "https://ayne.example.org", "a/b", "a b", "", "a:b", "a:0"])
def test_what_is_no_name_of_a_host_is_none_of_the_further_names(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a host"):
        at_hosts([name])


def test_names_are_compared_in_lower_case_and_without_a_dot_at_their_end() -> None:
    assert authority_of("A.Example.:80") == ("a.example", 80)
    assert authority_of("[::1]") == ("[::1]", None)
    assert authority_of("a.example:65536") is None


# Pages


@pytest.mark.parametrize(
    "origin",
    [
        "https://stranger.example", "http://127.0.0.1:8000", "http://127.0.0.1", "http://localhost:3000",
        "http://[::1]:3000", "null", "", "http://127.0.0.1:3000.stranger.example", "http://127.0.0.1:3000@stranger.example",
        "file://", "chrome-extension://abc", "https://127.0.0.1", "//127.0.0.1:3000", "127.0.0.1:3000",
        "ftp://127.0.0.1:3000", "http://127.0.0.1:3000 http://stranger.example", "http://[::1:3000", "http://127.0.0.1:3001",
    ],
)  # fmt: skip
def test_what_a_page_of_another_origin_sends_is_refused(origin: str) -> None:
    assert ask(("origin", origin)) == 403
    assert ask(("origin", origin), JSON, method="POST", path="/graphql") == 403
    assert ask(("origin", origin), kind="websocket", path="/graphql") == 403
    assert ask(("origin", origin), *PAGE) == 403


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:3000", OURS),
        ("http://LOCALHOST:3000", "localhost:3000"),
        ("http://localhost:3000", "localhost.:3000"),
        ("http://[::1]:3000", "[::1]:3000"),
        ("http://localhost", "localhost"),
        ("http://localhost", "localhost:80"),
        ("https://ayne.example.org", "ayne.example.org"),
        ("https://ayne.example.org", "ayne.example.org:443"),
        ("https://ayne.example.org:8443", "ayne.example.org:8443"),
    ],
)
def test_what_our_own_pages_send_is_served(origin: str, host: str) -> None:
    also = ("ayne.example.org",)
    assert ask(("origin", origin), JSON, method="POST", path="/graphql", host=host, also=also) == 200
    assert ask(("origin", origin), kind="websocket", path="/graphql", host=host, also=also) == 200
    same = ("sec-fetch-site", "same-origin")
    assert ask(("origin", origin), same, JSON, method="POST", path="/graphql", host=host, also=also) == 200


def test_the_origin_of_one_allowed_name_is_foreign_to_another() -> None:
    assert ask(("origin", "https://ayne.example.org"), also=("ayne.example.org",)) == 403
    assert ask(("origin", "https://ayne.example.org:8443"), host="ayne.example.org", also=("ayne.example.org",)) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Same-Origin", "anything", ""])
@pytest.mark.parametrize(
    ("mode", "dest"),
    [
        ("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("no-cors", "empty"), ("navigate", "iframe"),
        ("navigate", "frame"), ("navigate", "object"), ("navigate", "embed"), ("websocket", "empty"),
        ("nested", "document"), ("no-cors", "document"), ("", ""),
    ],
)  # fmt: skip
def test_what_the_browser_says_comes_from_elsewhere_is_refused_even_as_a_get(site: str, mode: str, dest: str) -> None:
    told = (("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest))
    assert ask(*told) == 403
    assert ask(*told, path="/server_info") == 403
    assert ask(*told, kind="websocket", path="/graphql") == 403
    assert ask(*told, JSON, method="POST", path="/graphql") == 403


def test_a_link_of_another_page_leads_to_a_page_and_does_nothing_else() -> None:
    for site in ("cross-site", "same-site"):
        link = [("sec-fetch-site", site), *PAGE]
        assert ask(*link) == 200
        assert ask(*link, path="/runs/abc", query=b"tab=events") == 200
        assert ask(*link, JSON, method="POST") == 403
        assert ask(*link, method="HEAD") == 403
        for path in (
            "/graphql",
            "/logs/x/y.err",
            "/download_debug/x",
            "/report_asset_materialization/movies",
            "/notebook",
        ):
            assert ask(*link, path=path) == 403, path
        assert ask(*link, path="/graphql", query=MUTATION) == 403
        assert ask(*link, ("sec-fetch-dest", "iframe")) == 403


def test_what_a_person_or_another_program_asks_is_served() -> None:
    assert ask(("sec-fetch-site", "none"), *PAGE) == 200
    assert ask() == 200
    assert ask(JSON, method="POST", path="/graphql") == 200
    assert ask(kind="websocket", path="/graphql") == 200


def test_headers_that_come_twice_are_not_chosen_from() -> None:
    own = ("origin", "http://127.0.0.1:3000")
    assert ask(own, ("origin", "https://stranger.example")) == 403
    assert ask(own, own) == 403
    assert ask(("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")) == 403
    assert ask(JSON, ("content-type", "text/plain"), method="POST", path="/graphql") == 415


# Methods and types


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
def test_graphql_is_not_asked_in_an_address(method: str, path: str) -> None:
    for query in (MUTATION, b"query=%7Bversion%7D", b"x", b"operationName=a"):
        assert ask(method=method, path=path, query=query) == 405
        assert ask(("accept", "text/html"), method=method, path=path, query=query) == 405
    assert ask(method="GET", path=path) == 200, "the page of GraphiQL, which asks by POST"


@pytest.mark.parametrize("path", ["/notebook", "/dagit/notebook", "/notebook/"])
def test_files_of_the_askers_choice_are_not_rendered(path: str) -> None:
    assert ask(path=path, query=b"path=/home/me/evil.ipynb&repoLocName=ayne_dagster") == 405


@pytest.mark.parametrize(
    "content_type",
    [
        None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/graphql",
        "text/plain; application/json", "text/plain;charset=application/json", "application/jsonx",
        "application/json, text/plain", "text/plain, application/json", "application/ json", "x application/json",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "path", ["/graphql", "/report_asset_materialization/movies", "/report_asset_check/movies", "/"]
)
def test_a_post_of_another_type_than_json_is_refused(content_type: str | None, path: str) -> None:
    headers = [] if content_type is None else [("content-type", content_type)]
    assert ask(*headers, method="POST", path=path, query=MUTATION) == 415


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=1"]
)
def test_a_post_of_json_is_served(content_type: str) -> None:
    assert ask(("content-type", content_type), method="POST", path="/graphql") == 200
    assert ask(("content-type", content_type), method="POST", path="/report_asset_observation/movies") == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND", ""])
def test_other_methods_are_refused(method: str) -> None:
    assert ask(JSON, method=method, path="/graphql") == 405


# Answers


def test_no_page_of_another_origin_may_frame_or_embed_what_is_served() -> None:
    _, headers = answer()
    assert headers[b"content-security-policy"] == b"frame-ancestors 'self'"
    assert headers[b"x-frame-options"] == b"SAMEORIGIN"
    assert headers[b"cross-origin-resource-policy"] == b"same-origin"
    assert headers[b"x-inner"] == b"1"


def test_a_refusal_says_why_in_a_line_and_allows_no_other_origin_anything() -> None:
    status, headers = answer(("origin", "https://stranger.example"))
    assert status == 403
    assert headers[b"content-type"].startswith(b"text/plain")
    assert not [name for name in headers if name.startswith(b"access-control")]


def test_what_is_no_request_passes() -> None:
    inner = Inner()

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    refuse_all = Guard(inner, [lambda scope: pytest.fail(f"asked about {scope['type']}")])
    asyncio.run(refuse_all({"type": "lifespan"}, nothing, nothing))
    assert inner.reached == ["lifespan"]
