"""An account has one name, however its address is spelt, and another address is another account."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayne_dagster.config import OMDB_DEFAULTS, ApiSettings
from ayne_dagster.sources.limits.account import Account
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.limits.naming import account_name, canonical_address, former_account_names

TODAY = date(2026, 3, 1)
SCHEMES = {"http": 80, "https": 443}
NAMES = ["www.omdbapi.com", "omdbapi.com", "bücher.example", "10.1.2.3", "[2001:db8::7]", "localhost"]
SPELT_ALSO = {  # beyond what is done to every host
    "bücher.example": ["xn--bcher-kva.example", "BÜCHER.example", "bücher。example"],
    "10.1.2.3": ["10.66051", "0x0a010203", "167838211"],
    "[2001:db8::7]": ["[2001:0DB8:0:0:0:0:0:7]", "[2001:db8::0.0.0.7]"],
    "localhost": ["127.0.0.1", "127.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "localhost.localdomain"],
}
ADDRESSES = st.tuples(
    st.sampled_from(sorted(SCHEMES)),
    st.sampled_from(NAMES),
    st.sampled_from([None, 8000, 8001]),
    st.lists(st.sampled_from(["3", "omdb", "Omdb", "é", "a b", "a;b", "a%2Fb"]), max_size=3).map(tuple),
)
Address = tuple[str, str, int | None, tuple[str, ...]]


def plain(address: Address) -> str:
    scheme, host, port, path = address
    return f"{scheme}://{host}{f':{port}' if port else ''}/{'/'.join(path)}"


def respelt(address: Address, chance: random.Random) -> str:
    """The address as somebody else may type it."""
    scheme, host, port, path = address

    def maybe(text: str, other: str) -> str:
        return chance.choice([text, other])

    host = chance.choice([host, *SPELT_ALSO.get(host, [])])
    host = maybe(host, host.upper()) if host.isascii() and "0x" not in host else host
    host = maybe(host, f"{host}.") if host[-1].isalpha() else host
    said = f":{port}" if port else chance.choice(["", ":", f":{SCHEMES[scheme]}", f":0{SCHEMES[scheme]}"])
    between = [chance.choice(["/", "//", "/./", "/x/../", "/%2e/", "/y/%2E%2e/"]) for _ in range(len(path) + 1)]
    parts = [maybe("".join(maybe(c, "".join(f"%{b:02{chance.choice('xX')}}" for b in c.encode())) for c in part), part)
             if "%" not in part else maybe(part, part.lower()) for part in path]  # fmt: skip
    end = chance.choice(["", "/", "//", "/.", "/;", "?", "#top", "?user=u", *([";"] if path else [])])
    user = chance.choice(["", "me@", "me:secret@"])
    return (
        f"{maybe(scheme, scheme.upper())}://{user}{host}{said}"
        + "".join(map("".join, zip(between, parts, strict=False)))
        + end
    )


@given(ADDRESSES, st.integers(0, 2**32))
def test_spellings_of_an_address_are_one_account_however_they_are_mixed(address: Address, seed: int) -> None:
    assert canonical_address(respelt(address, random.Random(seed))) == canonical_address(plain(address))


@given(ADDRESSES, ADDRESSES)
def test_another_scheme_host_port_or_path_is_another_account(one: Address, other: Address) -> None:
    assert (canonical_address(plain(one)) == canonical_address(plain(other))) == (one == other)


@pytest.mark.parametrize("text", ["http://[::1/", "http://h:99999/", "", "no address", "http://\udcff/"])
def test_what_is_no_address_has_a_name_too_and_is_refused_elsewhere(text: str) -> None:
    assert account_name("omdb", text, "key").startswith("omdb:")
    assert former_account_names("omdb", text, "key")


SPELLINGS = ["http://{}/omdb", "http://{}/%6fmdb/", "http://me@{}/omdb/", "http://{}/x/../omdb/", "http://{}//omdb/"]


def test_one_quota_holds_for_all_spellings_of_an_address(tmp_path: Path) -> None:
    sent = 0
    for spelling in SPELLINGS * 2:
        for host in ("127.0.0.1:8000", "localhost:8000", "[::1]:8000"):
            settings = ApiSettings(spelling.format(host), 0, 1, 1, daily_quota=5)
            account = Account("omdb", settings, RequestLedger(tmp_path / "ledger.sqlite"), "key", lambda: NOON)
            sent += account.ledger.charge(account.name, TODAY, 5)
    assert sent == 5


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("noted", "typed"),
    [
        ("https://www.omdbapi.com/", OMDB_DEFAULTS.base_url),  # 0.2 took the text as it was
        ("http://me:secret@127.0.0.1:8000/omdb", "http://me:secret@127.0.0.1:8000/omdb/"),
        ("http://127.0.0.1:8000//omdb", "http://127.0.0.1:8000//omdb/"),
        ("http://127.0.0.1:8000/omdb", "http://localhost:8000/omdb"),
        ("http://[::1]:8000/omdb/", "http://127.0.0.1:8000/omdb"),
        ("http://bücher.example/omdb?a=b", "http://bücher.example/omdb/?a=b"),
    ],
)
def test_what_former_versions_counted_for_a_spelling_counts_for_the_account(
    tmp_path: Path, noted: str, typed: str
) -> None:
    digest = hashlib.sha256(f"{noted}\0key".encode()).hexdigest()
    old = RequestLedger(tmp_path / "ledger.sqlite")
    for _ in range(4):
        assert old.charge(f"omdb:{digest[:16]}", TODAY, 10)
    settings = ApiSettings(typed, 0, 1, 1, daily_quota=10)
    account = Account("omdb", settings, RequestLedger(tmp_path / "ledger.sqlite"), "key", lambda: NOON)
    assert account.quota_use.used == 4
