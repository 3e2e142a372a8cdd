"""Settings that cannot be right: told in a line that helps, and that shows nothing of what may be a secret."""

from __future__ import annotations

import logging
from datetime import date
from itertools import product
from pathlib import Path

import pytest

from ayne_dagster import config
from ayne_dagster.config import SettingsError, load_settings
from ayne_dagster.errors import OneLineError
from ayne_dagster.sources.limits.ledger import RequestLedger
from ayne_dagster.sources.limits.ledger_database import LedgerDatabase
from ayne_dagster_tests.support.processes import Ayne

V3, TOKEN, OMDB = "0123456789abcdef0123456789abcdef", "eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiIwIn0.c2ln", "feedc0de"
S = "s3cretW0rd"


@pytest.fixture(autouse=True)
def _nothing_told_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_warned", set())


# Keys


@pytest.mark.parametrize(("name", "value", "told"), [
    ("TMDB_READ_TOKEN", f"Bearer {TOKEN}", "the key alone"),
    ("TMDB_READ_TOKEN", f"bearer  {TOKEN}", "the key alone"),
    ("TMDB_READ_TOKEN", f"Authorization: Bearer {TOKEN}", "the key alone"),
    ("TMDB_API_KEY", f"api_key={V3}", "the key alone"),
    ("OMDB_API_KEY", f"apikey={OMDB}", "the key alone"),
    ("TMDB_READ_TOKEN", V3, "TMDB_API_KEY"),
    ("TMDB_READ_TOKEN", V3.upper(), "TMDB_API_KEY"),
    ("TMDB_API_KEY", TOKEN, "TMDB_READ_TOKEN"),
    ("OMDB_API_KEY", TOKEN, "TMDB_READ_TOKEN"),
    ("OMDB_API_KEY", V3, "TMDB_API_KEY"),
    ("TMDB_API_KEY", OMDB, "OMDB_API_KEY"),
    ("TMDB_READ_TOKEN", OMDB, "OMDB_API_KEY"),
    ("OMDB_API_KEY", f"'{OMDB}'", "quotation mark"),
    ("OMDB_API_KEY", f"“{OMDB}”", "quotation mark"),
    ("OMDB_API_KEY", f'{OMDB}"', "quotation mark"),
    ("TMDB_API_KEY", f"<{V3}>", "bracket"),
    ("OMDB_API_KEY", "fееdc0de", "letter"),  # two of them are Cyrillic
    ("TMDB_READ_TOKEN", f"{TOKEN[:20]}\n{TOKEN[20:]}", "control character"),
    ("TMDB_READ_TOKEN", f"{TOKEN[:20]}\x00", "control character"),
    ("TMDB_READ_TOKEN", f"{TOKEN}\udcff", "no text"),
    ("TMDB_READ_TOKEN", f"{TOKEN}​x", "odd space"),
])  # fmt: skip
def test_a_key_that_cannot_be_right_is_told_with_a_hint_and_not_shown(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value})
    said = str(caught.value)
    assert said.startswith(name)
    assert told in said
    assert not any(part in said for part in (V3[:8], TOKEN[:8], OMDB, value))


@pytest.mark.parametrize(("name", "value"), [
    ("TMDB_READ_TOKEN", TOKEN), ("TMDB_API_KEY", V3), ("OMDB_API_KEY", OMDB), ("OMDB_API_KEY", "demo"),
    ("TMDB_READ_TOKEN", "a-stand-in's_token"),
])  # fmt: skip
def test_a_key_in_its_place_is_taken(name: str, value: str) -> None:
    settings = load_settings({name: value})
    assert value in (settings.tmdb_read_token, settings.tmdb_api_key, settings.omdb_api_key)


# Addresses

NOT_ADDRESSES = (
    f"hooks.example/services/T0/{S}", f"me:{S}@host/3", f"//me:{S}@host/3", f"http:/me:{S}@host", f"htp://me:{S}@host",
    f"http//me:{S}@host", f"ftp://me:{S}@host", f"http://me:{S}@[x", f"http://me:1{S}", f"http://host:{S}/", f"http://:{S}@",
    f"http://ho st/{S}", f"https://{S}@", f"?key={S}", f"https:{S}", f"http://me:{S}@host:99999", f"http://host:0/{S}",
)  # fmt: skip


@pytest.mark.parametrize("name", ["AYNE_ALERT_WEBHOOK_URL", "AYNE_TMDB_BASE_URL", "AYNE_OMDB_BASE_URL"])
@pytest.mark.parametrize("value", NOT_ADDRESSES)
def test_nothing_is_shown_of_an_address_that_cannot_be_read(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value})
    assert str(caught.value).startswith(name)
    assert S not in str(caught.value)
    assert "host" not in str(caught.value).replace("https://host/path", "").replace("no host", "").replace("a host", "")


@pytest.mark.parametrize("name", ["AYNE_TMDB_EXPORT_URL", "AYNE_IMDB_RATINGS_URL"])
@pytest.mark.parametrize("value", [
    f"files.example/ids.gz?signature={S}", f"me:{S}@files.example/ids.gz", f"//me:{S}@files/ids.gz", f"http:/files/{S}",
    f"ftp://me:{S}@files/ids.gz", f"datasets.example.com/{S}.gz",
])  # fmt: skip
def test_a_file_s_address_without_a_scheme_is_no_path(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value})
    assert S not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["/var/ids_{date}.gz", "ids.tsv.gz", "./a/b.gz", "~/ids.gz", "data/ids.gz", "here.d/ids.gz"]
)
def test_a_path_is_taken_for_a_path(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here.d").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_settings({"AYNE_IMDB_RATINGS_URL": value}).imdb_ratings_url == value.replace("~", str(Path.home()))


# The ledger's address

USERS = ("user", "us/er", "us@er", "us:er", "us#er", "us?er", "us[er", "us er", "", "us//er", "us%2Fer")
PASSWORDS = (
    S,
    f"{S}/x",
    f"{S}@x",
    f"{S}:x",
    f"{S}#x",
    f"{S}?x",
    f"{S}[x",
    f"{S} x",
    f"/{S}",
    f"@{S}",
    f":{S}",
    f"?{S}",
)


@pytest.mark.parametrize(
    "scheme", ["postgresql://", "postgresql+psycopg://", "sqlite://", "nosuch://", "", "postgresql:/"]
)
@pytest.mark.parametrize(
    "place", ["@127.0.0.1:1/db", "@[::1]:1/db", "@127.0.0.1:port/db", "@/db", f"@127.0.0.1:1/db?password={S}"]
)
def test_no_spelling_of_a_ledger_s_address_has_its_password_shown(scheme: str, place: str) -> None:
    for user, password in product(USERS, PASSWORDS):
        ledger = LedgerDatabase(f"{scheme}{user}:{password}{place}")
        assert S not in ledger.name
        if not ledger.name.startswith("postgresql"):  # a server is asked below
            with pytest.raises(OneLineError) as caught:
                ledger.run(lambda _: None)
            assert S not in str(caught.value)


@pytest.mark.parametrize("password", [S, f"{S}%2Fx", f"{S}%40", f"{S}:x", f"{S}'x"])
def test_a_server_that_is_down_is_told_without_the_password(password: str) -> None:
    with pytest.raises(OneLineError) as caught:
        RequestLedger(f"postgresql://me:{password}@127.0.0.1:1/ledger?application_name={S}").use(
            "omdb:x", date(2026, 1, 1), 10
        )
    assert S not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


# Names


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.WARNING)
    return tmp_path


@pytest.mark.parametrize(("name", "meant"), [
    ("AYNE_OMBD_DAILY_QUOTA", "AYNE_OMDB_DAILY_QUOTA"), ("AYNE_REFRESH_LIMITS", "AYNE_REFRESH_LIMIT"),
    ("ayne_refresh_limit", "AYNE_REFRESH_LIMIT"), ("TMDB_APIKEY", "TMDB_API_KEY"), ("OMDB_KEY", "OMDB_API_KEY"),
    ("TMDB_TOKEN", "TMDB_READ_TOKEN"), ("OMBD_API_KEY", "OMDB_API_KEY"), ("AYNE_DATABSE", "AYNE_DATABASE"),
    ("omdb_api_key", "OMDB_API_KEY"), ("AYNE_WEBHOOK_URL", "AYNE_ALERT_WEBHOOK_URL"),
])  # fmt: skip
@pytest.mark.parametrize("from_file", [False, True], ids=["environment", ".env"])
def test_a_misspelt_name_is_told_once_with_what_may_be_meant_and_without_its_value(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    meant: str,
    from_file: bool,
) -> None:
    if from_file:
        (here / ".env").write_text(f"{name}={S}\n")
    else:
        monkeypatch.setenv(name, S)
    load_settings()
    load_settings()
    (said,) = caplog.messages
    assert said == f"{name} is no setting, and is ignored. Did you mean {meant}?"


@pytest.mark.parametrize("name", ["AYNE_TMDB_RPS", "AYNE_OMDB_SPEED", "AYNE_TMDB_X"])
def test_a_name_that_is_like_no_setting_is_told_without_a_suggestion(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setenv(name, S)
    load_settings()
    assert caplog.messages == [f"{name} is no setting, and is ignored."]


def test_names_of_others_are_no_misspelt_settings(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("DAGSTER_HOME", "DATABASE_URL", "API_KEY", "READ_TOKEN", "IMDB_USER", "PATH_INFO", "DB_API_KEY_FILE"):
        monkeypatch.setenv(name, "x")
    (here / ".env").write_text("PGHOST=x\nSENTRY_DSN=x\n")
    load_settings()
    assert caplog.messages == []


def test_every_setting_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    example = (Path(config.__file__).parents[1] / ".env.example").read_text()
    names = {line.lstrip("#").partition("=")[0] for line in example.splitlines() if "=" in line.split(" ")[0]}
    assert "AYNE_TMDB_RETRY_WAIT" in names
    for name in names:
        monkeypatch.setenv(name, "")
    load_settings()
    assert caplog.messages == []


@pytest.mark.end_to_end
def test_a_command_tells_a_misspelt_name_on_stderr_and_goes_on(tmp_path: Path) -> None:
    result = Ayne(tmp_path, {"AYNE_REFRESH_LIMITS": "5"}).run("doctor", "--json")
    assert result.json["lines"]
    assert result.err.count("AYNE_REFRESH_LIMITS is no setting") == 1


# Empty variables, `.env`


def test_an_empty_variable_does_not_hide_the_value_of_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("OMDB_API_KEY=from-file\nAYNE_REFRESH_LIMIT=7\nTMDB_API_KEY=from-file\n")
    monkeypatch.setenv("OMDB_API_KEY", "")
    monkeypatch.setenv("AYNE_REFRESH_LIMIT", "  ")
    monkeypatch.setenv("TMDB_API_KEY", "from-environment")
    settings = load_settings()
    assert (settings.omdb_api_key, settings.refresh_limit) == ("from-file", 7)
    assert settings.tmdb_api_key == "from-environment"


@pytest.mark.parametrize("content", [
    b"\xef\xbb\xbfAYNE_REFRESH_LIMIT=7\n", b"AYNE_REFRESH_LIMIT=7\r\n", b"export AYNE_REFRESH_LIMIT='7'\n",
    b'AYNE_REFRESH_LIMIT = "7" # movies\n',
])  # fmt: skip
def test_a_file_is_read_however_an_editor_leaves_it(here: Path, content: bytes) -> None:
    (here / ".env").write_bytes(content)
    assert load_settings().refresh_limit == 7


def test_a_line_of_the_file_that_cannot_be_read_is_told_without_what_it_says(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (here / ".env").write_text(f'AYNE_REFRESH_LIMIT=7\nOMDB_API_KEY="{S}\nAYNE_TMDB_BURST=8\n')
    assert load_settings().refresh_limit == 7
    (said,) = caplog.messages
    assert "line 2" in said
    assert S not in said


@pytest.mark.parametrize("content", ["utf-16", "latin-1", "a folder"])
def test_a_file_that_is_no_text_is_told(here: Path, content: str) -> None:
    if content == "a folder":
        (here / ".env").mkdir()
    else:
        (here / ".env").write_bytes("# é\nAYNE_REFRESH_LIMIT=7\n".encode(content))
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        load_settings()


# Numbers


@pytest.mark.parametrize(
    "value",
    ["1,000", "1.000,5", "1 000", "1_000", "0x10", "1e3", "١٠", "１０", "5/s", "5 s", "nan", "inf", "--5", "ten"],
)
@pytest.mark.parametrize("name", ["AYNE_REFRESH_LIMIT", "AYNE_OMDB_DAILY_QUOTA", "AYNE_TMDB_BURST"])
def test_a_number_is_digits_alone(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is .*: it must be a whole number"):
        load_settings({name: value})


def test_a_reserve_that_leaves_nothing_or_has_nothing_to_be_kept_of_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AYNE_OMDB_QUOTA_RESERVE", "1000")
    monkeypatch.setenv("AYNE_TMDB_QUOTA_RESERVE", "5")
    load_settings()
    omdb, tmdb = caplog.messages
    assert "collections ask nothing" in omdb
    assert "sets no limit" in tmdb


def test_a_key_with_a_space_is_told_and_not_shown(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    (here / ".env").write_text(f'OMDB_API_KEY="{S} {S}"\n')
    load_settings()
    (said,) = caplog.messages
    assert said.startswith("OMDB_API_KEY holds a space")
    assert S not in said
