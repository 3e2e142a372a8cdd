"""How addresses are reached: proxies, certificates and credentials of the environment, the same for every client."""

from __future__ import annotations

import asyncio
import base64
import logging
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ayne_dagster.automation.notify import Alert, NotificationFailed, WebhookNotifier
from ayne_dagster.config import ApiSettings
from ayne_dagster.sources import network
from ayne_dagster.sources.daily_files import fetch
from ayne_dagster.sources.errors import InvalidCredentials, SourceError, SourceUnavailable, WrongAddress, WrongRoute
from ayne_dagster.sources.hosts import is_internal, is_loopback
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.network import Wire, certificates, route_to
from ayne_dagster.sources.transport import build_client
from ayne_dagster_tests.support.hostile import Hostile, answering, hostile, raw

KEY = "feedc0de-the-key"
PASSWORD = "prox/y:pass word"
ANSWER = answering(b'{"id": 550}')


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)


def ask_api(base: str, folder: Path) -> None:
    asked(base, headers={"authorization": f"Bearer {KEY}"})


def ask_api_by_query(base: str, folder: Path) -> None:
    asked(base, parameters={"api_key": KEY})


def asked(base: str, **credentials: dict[str, str]) -> Account:
    of = Account("tmdb", ApiSettings(base, 0.0, 40, 10, retry_wait=0.0, answer_deadline=10.0), key=KEY)

    async def main() -> None:
        async with build_client(of, **credentials) as client:
            await client.get(f"{base}/movie/550")

    try:
        asyncio.run(main())
    except SourceError as error:
        error.add_note(str(of.requests_sent))
        raise
    return of


def get_file(base: str, folder: Path) -> None:
    fetch(f"{base}/ids.json", folder / "copy", sleep=lambda _: None)


def send_alert(base: str, folder: Path) -> None:
    WebhookNotifier(f"{base}/hooks/secret-path").notify(Alert("run_failed", "what", "means", "do", "at"))


CLIENTS: dict[str, Callable[[str, Path], None]] = {
    "an API, by token": ask_api,
    "an API, by key": ask_api_by_query,
    "a daily file": get_file,
    "an alert": send_alert,
}
CLIENT = pytest.mark.parametrize("ask", CLIENTS.values(), ids=CLIENTS)
FAILED = (SourceError, NotificationFailed)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# One rule for every client


@CLIENT
def test_a_netrc_with_a_default_login_enters_no_request(
    ask: Callable[[str, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login mallory password netrc-secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with hostile(ANSWER) as server:
        ask(server.address, tmp_path)
    assert len(server.requests) == 1
    assert b"Basic" not in server.requests[0]


@CLIENT
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_used_with_its_password(
    ask: Callable[[str, Path], None], variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hostile(ANSWER) as proxy:
        monkeypatch.setenv(variable, f"http://me:prox%2Fy%3Apass%20word@127.0.0.1:{proxy.port}")
        ask("http://api.example/3", tmp_path)
    (asked_for,) = proxy.requests
    assert b" http://api.example/3/" in asked_for.splitlines()[0]
    assert f"proxy-authorization: {basic('me', PASSWORD)}".lower().encode() in asked_for.lower()


@CLIENT
def test_an_encrypted_address_is_reached_through_a_tunnel(
    ask: Callable[[str, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hostile(answering(b"", "502 Bad Gateway")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret-pass@127.0.0.1:{proxy.port}")
        with pytest.raises(FAILED) as caught:
            ask("https://api.example/3", tmp_path)
    assert proxy.requests[0].startswith(b"CONNECT api.example:443 ")
    assert f"proxy-authorization: {basic('me', 'secret-pass')}".lower().encode() in proxy.requests[0].lower()
    assert KEY.encode() not in proxy.requests[0], "the key is for the other end of the tunnel"
    assert "secret-pass" not in str(caught.value)


@CLIENT
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password_is_told_with_the_variable_and_asked_once(
    ask: Callable[[str, Path], None], scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hostile(answering(b"<html>", "407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://me:secret-pass@127.0.0.1:{proxy.port}")
        with pytest.raises(FAILED) as caught:
            ask(f"{scheme}://api.example/3", tmp_path)
    assert len(proxy.requests) == 1
    assert "407" in str(caught.value)
    if ask is not send_alert or scheme == "https":
        assert "ALL_PROXY" in str(caught.value)
    assert "secret-pass" not in str(caught.value)


@CLIENT
@pytest.mark.parametrize("value", ["socks5://me:secret-pass@127.0.0.1:9", "socks4://127.0.0.1:9", "socks5h://h"])
def test_a_socks_proxy_is_refused_in_a_line_that_names_the_variable_and_nothing_is_charged(
    ask: Callable[[str, Path], None], value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(FAILED, match="ALL_PROXY names a SOCKS proxy") as caught:
        ask("https://api.example/3", tmp_path)
    assert "\n" not in str(caught.value)
    assert "secret-pass" not in str(caught.value)
    assert getattr(caught.value, "requests", 0) == 0
    assert getattr(caught.value, "__notes__", ["0"]) == ["0"]


@CLIENT
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("https_proxy", "ftp://me:secret-pass@127.0.0.1:9"),
        ("https_proxy", "http://me:secret-pass@127.0.0.1:port"),
        ("https_proxy", "http://"),
        ("https_proxy", "http://me%3Ayou:secret-pass@127.0.0.1:9"),
        ("https_proxy", "http://me:secret-pass\N{SNOWMAN}@127.0.0.1:9"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
        ("SSL_CERT_FILE", "."),
        ("SSL_CERT_DIR", "/nowhere"),
    ],
)
def test_what_is_wrong_on_this_machine_is_told_once_before_anything_is_charged(
    ask: Callable[[str, Path], None], variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(FAILED, match=variable) as caught:
        ask("https://api.example/3", tmp_path)
    assert "secret-pass" not in str(caught.value)
    assert getattr(caught.value, "__notes__", ["0"]) == ["0"]


@CLIENT
def test_loopback_is_reached_directly_whatever_the_environment_says(
    ask: Callable[[str, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with hostile(ANSWER) as server:
        ask(server.address, tmp_path)
    assert len(server.requests) == 1


def test_no_client_is_made_beside_the_one_rule() -> None:
    """Whoever opens connections in another way forgets half of it."""
    package = Path(network.__file__).parent.parent
    openers = ("ClientSession(", "httpx.Client(", "AsyncClient(", "HTTPTransport(", "AiohttpTransport(", "urlopen(")
    found = {path.name for path in package.rglob("*.py") if any(o in path.read_text() for o in openers)}
    assert found == {"network.py"}


# Routes


@pytest.mark.parametrize(
    ("address", "no_proxy", "direct"),
    [
        ("https://api.example/3", "", False),
        ("https://api.example/3", "*", True),
        ("https://api.example/3", "other.example, api.example", True),
        ("https://api.example/3", "API.Example", True),
        ("https://api.example/3", "example", True),
        ("https://api.example/3", ".example", True),
        ("https://api.example/3", "*.example", True),
        ("https://api.example/3", "pi.example", False),
        ("https://api.example/3", "api.example:443", True),
        ("https://api.example:8443/3", "api.example:443", False),
        ("https://10.1.2.3/3", "10.0.0.0/8", True),
        ("https://10.1.2.3/3", "10.1.2.3", True),
        ("https://11.1.2.3/3", "10.0.0.0/8", False),
        ("https://[fd00::1]/3", "fd00::/8", True),
        ("https://[fd00::1]:8443/3", "[fd00::1]:8443", True),
        ("https://api.example/3", ",, ,nonsense/99,:,[", False),
        ("https://localhost:8080/3", "", True),
        ("https://127.9.9.9/3", "", True),
        ("https://[::1]/3", "", True),
    ],
)
def test_no_proxy_names_what_is_reached_directly(address: str, no_proxy: str, direct: bool) -> None:
    route = route_to(address, {"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": no_proxy})
    assert (route.proxy is None) is direct


@pytest.mark.parametrize(
    ("environment", "host", "variable"),
    [
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "lower", "https_proxy"),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": ""}, None, ""),
        ({"HTTPS_PROXY": "http://one:1", "ALL_PROXY": "socks5://two:1"}, "one", "HTTPS_PROXY"),
        ({"HTTP_PROXY": "http://one:1"}, None, ""),
        ({"HTTPS_PROXY": "one:3128"}, "one", "HTTPS_PROXY"),
        ({}, None, ""),
    ],
)
def test_the_variable_for_the_scheme_wins_and_lower_case_over_upper(
    environment: dict[str, str], host: str | None, variable: str
) -> None:
    route = route_to("https://api.example/3", environment)
    assert (route.proxy.url.host if route.proxy else None, route.variable) == (host, variable)


def test_a_header_of_a_web_server_is_no_proxy() -> None:
    environment = {"HTTP_PROXY": "http://mallory.example", "REQUEST_METHOD": "GET"}
    assert route_to("http://api.example/3", environment).proxy is None


@pytest.mark.parametrize(
    "address", ["", "api.example/3", "ftp://a", "http://", "http://a:99999", "http://[::1", "x://y"]
)
def test_what_is_no_http_address_is_told_without_its_secrets(address: str) -> None:
    with pytest.raises(WrongAddress, match=r"is no http\(s\) address"):
        route_to(address, {})


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "::1", "[::1]", "::ffff:127.0.0.1", "localhost", "LOCALHOST."],
)
def test_loopback_is_known_in_every_spelling(host: str) -> None:
    assert is_loopback(host)
    assert is_internal(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.1.1", "169.254.169.254", "fd00::1", "fe80::1%eth0"])
def test_private_networks_are_internal(host: str) -> None:
    assert is_internal(host)


@pytest.mark.parametrize("host", ["api.example", "8.8.8.8", "2606:4700::1", "10.example", "localhost.example"])
def test_other_hosts_are_neither(host: str) -> None:
    assert not is_loopback(host)
    assert not is_internal(host)


# Certificates


@pytest.fixture
def make_certificate(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a self-signed certificate, key included, for a host."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")

    def make(host: str) -> Path:
        name, path = ("IP" if host[0].isdigit() else "DNS"), tmp_path / f"{host}.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={name}:{host}"),
                *("-keyout", tmp_path / "key", "-out", tmp_path / "certificate"),
            ],
            check=True,
            capture_output=True,
        )
        path.write_bytes((tmp_path / "key").read_bytes() + (tmp_path / "certificate").read_bytes())
        return path

    return make


@pytest.fixture
def encrypted(make_certificate: Callable[[str], Path]) -> Iterator[Callable[[str], Hostile]]:
    """Starts a TLS server whose certificate is for a host."""
    contexts = []

    def start(host: str) -> Hostile:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(make_certificate(host))
        running = hostile(ANSWER, tls=context)
        contexts.append(running)
        return running.__enter__()

    yield start
    for running in contexts:
        running.__exit__(None, None, None)


@CLIENT
def test_a_certificate_that_is_not_trusted_is_told_with_what_to_do_and_not_asked_again(
    ask: Callable[[str, Path], None], encrypted: Callable[[str], Hostile], tmp_path: Path
) -> None:
    server = encrypted("127.0.0.1")
    with pytest.raises(FAILED) as caught:
        ask(f"https://127.0.0.1:{server.port}", tmp_path)
    if ask is not send_alert:
        assert isinstance(caught.value, WrongAddress)
        assert "SSL_CERT_FILE" in str(caught.value)
        assert f"https://127.0.0.1:{server.port}" in str(caught.value)
    assert server.handshakes == 1


@CLIENT
def test_an_authority_of_ones_own_is_trusted_and_another_hosts_certificate_is_not(
    ask: Callable[[str, Path], None],
    encrypted: Callable[[str], Hostile],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, anothers = encrypted("127.0.0.1"), encrypted("other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "127.0.0.1.pem"))
    ask(f"https://127.0.0.1:{own.port}", tmp_path)
    assert len(own.requests) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.example.pem"))
    with pytest.raises(FAILED):
        ask(f"https://127.0.0.1:{anothers.port}", tmp_path)
    assert anothers.requests == []


def test_a_folder_of_certificates_can_be_named(tmp_path: Path) -> None:
    assert certificates({"SSL_CERT_DIR": str(tmp_path)}).get_ca_certs() == []
    assert certificates({}).get_ca_certs()


@CLIENT
def test_a_server_that_speaks_no_tls_is_told_and_not_asked_again(
    ask: Callable[[str, Path], None], tmp_path: Path
) -> None:
    no_tls = hostile(ANSWER, raw_connections=b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with no_tls as server, pytest.raises(FAILED) as caught:
        ask(f"https://127.0.0.1:{server.port}", tmp_path)
    if ask is not send_alert:
        assert isinstance(caught.value, WrongAddress)
        assert "speaks no TLS" in str(caught.value)


# Addresses in errors


@pytest.mark.parametrize("ask", [ask_api, ask_api_by_query, get_file])
def test_a_refused_connection_names_the_address(ask: Callable[[str, Path], None], tmp_path: Path) -> None:
    with hostile(ANSWER) as server:
        port = server.port
    with pytest.raises(SourceUnavailable, match=rf"no connection to http://127.0.0.1:{port}.*[Rr]efused"):
        ask(f"http://me:secret-pass@127.0.0.1:{port}" if ask is not ask_api else f"http://127.0.0.1:{port}", tmp_path)


def test_a_user_in_the_address_and_a_token_cannot_both_be_sent_and_that_is_told_before_anything_is_charged() -> None:
    with pytest.raises(WrongRoute, match="user or password") as caught:
        asked("http://me:secret-pass@127.0.0.1:9/3", headers={"authorization": f"Bearer {KEY}"})
    assert "secret-pass" not in str(caught.value)
    assert caught.value.__notes__ == ["0"]


@pytest.mark.parametrize("key", ["line\nbreak-key", "snow\N{SNOWMAN}man-key", "\udcff-surrogate", "nul\x00-key"])
@pytest.mark.parametrize("place", ["headers", "parameters"])
def test_a_key_that_cannot_be_sent_is_told_before_anything_is_asked(key: str, place: str) -> None:
    with pytest.raises(InvalidCredentials, match="which no key does") as caught:
        asked("http://127.0.0.1:9", **{place: {"authorization": key}})
    assert key not in str(caught.value)


@CLIENT
def test_no_log_line_of_any_library_shows_an_address_with_its_secrets(
    ask: Callable[[str, Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "aiohttp", "asyncio", "urllib3", "ayne_dagster"):
        caplog.set_level(logging.DEBUG, logger=name)
    with hostile(answering(b"{}", Set_Cookie="a=secret-cookie")) as server:
        address = f"http://me:secret-pass@127.0.0.1:{server.port}/secret-path?signature=secret-signature&x="
        if ask is ask_api:
            address = server.address
        ask(address, tmp_path)
    assert len(server.requests) == 1
    told = "\n".join(f"{record.getMessage()} {record.args!r}" for record in caplog.records)
    for secret in ("secret-pass", "secret-signature", "secret-cookie", KEY, "hooks/secret-path"):
        assert secret not in told


def test_cookies_are_not_kept(tmp_path: Path) -> None:
    async def main(server: Hostile) -> None:
        settings = ApiSettings(server.address, 0.0, 40, 10)
        async with build_client(Account("tmdb", settings)) as client:
            await client.get(server.address)
            await client.get(server.address)

    with hostile(answering(b"{}", Set_Cookie="a=b")) as server:
        asyncio.run(main(server))
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


def test_a_name_that_leads_into_a_private_network_is_not_connected_to_where_that_is_ruled_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolved(*_: object) -> list[dict[str, object]]:
        return [{"hostname": "x", "host": "10.0.0.1", "port": 80, "family": 2, "proto": 6, "flags": 0}]

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", resolved)

    async def main(address: str) -> None:
        wire = Wire(address, only_public=True)
        try:
            await wire.handle_async_request(httpx.Request("GET", address))
        finally:
            await wire.aclose()

    with pytest.raises(WrongAddress, match="not on the public network"):
        asyncio.run(main("http://files.example/"))
    with pytest.raises(WrongAddress, match="not on the public network"):
        asyncio.run(main("http://10.0.0.1/"))


def test_a_broken_answer_tells_no_more_than_the_address(tmp_path: Path) -> None:
    broken = hostile(raw(b"HTTP/1.1 200 OK\r\nsecret-header\r\n\r\n"))
    with broken as server, pytest.raises(SourceUnavailable, match="no proper HTTP") as caught:
        ask_api(server.address, tmp_path)
    assert "secret-header" not in str(caught.value)
