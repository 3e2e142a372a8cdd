"""Addresses as messages show them: nothing secret, whatever somebody typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.sources.addresses import LONGEST_SHOWN, shown_address, shown_origin


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://files.example/p/ids.json.gz", "https://files.example/p/ids.json.gz"),
        ("https://me:secret@files.example:8443/ids.gz?signature=secret#secret", "https://files.example:8443/ids.gz"),
        ("https://secret@files.example", "https://files.example"),
        ("http://[::1]:8080/3", "http://[::1]:8080/3"),
        ("http://me:secret@[::1]/3", "http://[::1]/3"),
        ("me:secret@files.example/ids.gz?token=secret", "files.example/ids.gz"),
        ("//me:secret@files.example/ids.gz", "//files.example/ids.gz"),
        ("https:/me:secret@files.example/ids.gz", "https:/files.example/ids.gz"),
        ("https:me:secret@files.example/ids.gz", "files.example/ids.gz"),
        ("/data/ids@home?.gz", "/data/ids@home?.gz"),
        ("./ids.gz", "./ids.gz"),
        ("ratings.tsv.gz", "ratings.tsv.gz"),
        ("https://files.example/ids.gz&token=secret", "https://files.example/ids.gz"),
        ("https://files.example/@me/ids.gz", "https://files.example/…@me/ids.gz"),
        ("https://files.example/ids.gz?mail=a@b", "https://files.example/ids.gz"),
        (" https://files.example/ids.gz\n", "https://files.example/ids.gz"),
        ("", ""),
    ],
)
def test_an_address_shows_where_it_leads_and_no_more(text: str, shown: str) -> None:
    assert shown_address(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://us/er:secret@host/db",
        "https://me:se/cret-secret@host/x",
        "https://me:secret?secret@host/x",
        "https://me:secret#secret@host/x",
        "https://me:x@secret/secret@host/x",
        "https://me:x@secret?x@host/x",
        "https://us/er:secret?x@host/x",
        "https://me:secret%40host/x",
        "https://host:secret",
        "https://host\\me:secret@other/x",
        "https://host/x;token=secret",
        "https://host/x?a@b:secret",
        "secret@host",
        "ftp://me:secret@host/x",
    ],
)
def test_odd_syntax_gives_nothing_away(text: str) -> None:
    assert "secret" not in shown_address(text)
    assert "secret" not in shown_origin(text)


def test_the_path_of_a_webhook_is_a_secret_too() -> None:
    assert shown_origin("https://hooks.example:8443/services/T0/B0/secret?x=1") == "https://hooks.example:8443/…"
    assert shown_origin("https://hooks.example/") == "https://hooks.example"
    assert shown_origin("hooks.example/services/secret") == "hooks.example/…"


@given(st.text(alphabet=st.sampled_from("https:/@?#&;.[]\\%ab1\n\x00é")) | st.text())
def test_any_text_is_shown_as_one_line_of_bounded_length(text: str) -> None:
    for shown in (shown_address(text), shown_origin(text)):
        assert shown.isprintable()
        assert text.startswith(("/", ".", "~")) or len(shown) <= LONGEST_SHOWN + 10


SECRET = "hunter2hunter2"


@given(
    st.sampled_from(["https://", "http://", "", "//", "https:/", "socks5h://"]),
    st.text(alphabet="user:@/?#%.1", max_size=6),
    st.text(alphabet="user:@/?#%.1", max_size=6),
    st.text(alphabet="/?#a.", max_size=6),
)
def test_a_password_is_never_shown_whatever_stands_around_it(scheme: str, before: str, after: str, end: str) -> None:
    """A password, of whatever characters, between a name's colon and the @ of the host."""
    text = f"{scheme}me:{before}{SECRET}{after}@files.example{end}"
    assert SECRET not in shown_address(text)
    assert SECRET not in shown_origin(text)
