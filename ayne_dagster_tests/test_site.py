"""The site of docs/: made of the code where it can be; no dead link, nothing from elsewhere; commands that work."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import click
import pytest
import yaml

import ayne_dagster
from ayne_dagster.cli import ayne
from ayne_dagster.commands.examples import EXAMPLES
from ayne_dagster.config import Settings
from ayne_dagster_tests.support.command_lines import check_line

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *sorted(DOCS.rglob("*.md"))]
NOTICE = "This product uses the TMDB API but is not endorsed or certified by TMDB."


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made() -> ModuleType:
    return script("make_reference")


def test_the_pages_of_commands_and_settings_are_those_that_the_code_makes(made: ModuleType) -> None:
    assert made.PAGES["commands"].read_text() == made.commands_page(), "run `make reference`"
    assert made.PAGES["settings"].read_text() == made.settings_page(), "run `make reference`"


def test_the_picture_of_the_lineage_is_that_of_the_assets(
    made: ModuleType, make_settings: Callable[..., Settings]
) -> None:
    assert made.PICTURE.read_text() == made.lineage_picture(made.lineage(make_settings())), "run `make reference`"


def test_a_setting_s_bounds_are_those_by_which_it_is_refused(made: ModuleType) -> None:
    assert made.bounds_of("AYNE_SENSOR_MAX_WAIT") == "a number of at least 0 and at most 120"
    assert made.bounds_of("AYNE_REFRESH_STRATEGY") == "one of age_table, value_of_refresh"
    assert made.bounds_of("AYNE_TMDB_BURST") == "a whole number of at least 1"
    assert len({setting.name for setting in made.settings()}) == len(made.settings()) > 50


def blocks(page: Path, *languages: str) -> list[str]:
    fenced = re.findall(rf"^( *)```(?:{'|'.join(languages)})\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return ["\n".join(line.removeprefix(indent) for line in text.splitlines()) for indent, text in fenced]


def typed_in(page: Path) -> Iterator[str]:
    """The commands of a page's shell blocks, each by itself."""
    for block in blocks(page, "sh", "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from (part.strip() for part in line.split(" && ") if shlex.split(part, comments=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_a_page_shows_can_be_typed(page: Path) -> None:
    for line in typed_in(page):
        try:
            check_line(line)
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_option_that_a_page_names_beside_its_command_exists(page: Path) -> None:
    for name, rest in re.findall(r"`ayne ([a-z][a-z-]*)((?: [^`]+)?)`", page.read_text()):
        assert name in ayne.commands, name
        command = ayne.commands[name]
        if isinstance(command, click.Group):
            command = command.commands[rest.split()[0]]
        known = {opt for p in command.params for opt in p.opts} | {"--help"}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known, f"ayne {name}{rest}"


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    for wrong in ("ayne colect", "ayne due --sorce tmdb", "ayne explain", "ayne schema movies extra"):
        with pytest.raises(click.UsageError):
            check_line(wrong)
    with pytest.raises(AssertionError):
        check_line("make tee")
    with pytest.raises(AssertionError):
        check_line("ayn due")


def test_every_command_has_an_example_in_its_help_and_each_can_be_typed(made: ModuleType) -> None:
    groups = {name for name, command in ayne.commands.items() if isinstance(command, click.Group)}
    assert set(EXAMPLES) == set(made.commands()) | groups
    for name, lines in EXAMPLES.items():
        command = ayne.commands.get(name) or made.commands()[name]
        help_text = command.get_help(click.Context(command, info_name=name))
        for line in lines:
            assert f"  {line}" in help_text
            assert line.startswith(f"ayne {name}")
            check_line(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_python_example_compiles_and_imports_what_exists(page: Path) -> None:
    for code in blocks(page, "python"):
        compile(code, page.name, "exec")
        imports = [line for line in code.splitlines() if line.startswith(("from ayne_dagster", "import ayne_dagster"))]
        exec("\n".join(imports), {})  # noqa: S102 -- our own pages


def test_the_example_of_a_strategy_decides_alike_in_python_and_in_sql() -> None:
    from datetime import UTC, datetime, timedelta

    import duckdb

    from ayne_dagster.refresh.strategy import movie_state

    namespace: dict[str, Any] = {}
    exec("\n".join(blocks(DOCS / "how-to/own-strategy.md", "python")), namespace)  # noqa: S102 -- our own page
    strategy = namespace["TwiceAsOften"]()
    now = datetime(2026, 11, 1, tzinfo=UTC)
    for age in (10, 100, 300, 3000):
        released = (now - timedelta(days=age)).date()
        for days in (1, 2, 3, 7, 8, 14, 16, 44, 46, 89):
            checked = now - timedelta(days=days)
            movie = movie_state({"release_date": released, "imdb_id": None, "tmdb_checked_at": checked})
            row = "SELECT $released AS release_date, $checked::TIMESTAMP AS tmdb_checked_at"
            ((found,),) = duckdb.execute(
                f"SELECT {strategy.routine_sql('tmdb')} FROM ({row})",
                {"released": released, "checked": checked.replace(tzinfo=None), "now": now.replace(tzinfo=None)},
            ).fetchall()
            assert strategy.is_due_by_routine(movie, "tmdb", now) == found, (age, days)


def test_the_page_about_python_tells_of_every_public_name() -> None:
    told = set(
        re.findall(r"^::: ayne_dagster\.[\w.]+\.(\w+)$", (DOCS / "reference/python.md").read_text(), re.MULTILINE)
    )
    assert told - {"CollectionFailed", "CollectionInterrupted"} == set(ayne_dagster.__all__)


def test_the_links_of_pages_outside_the_site_lead_to_files() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not urlsplit(target).scheme:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    told = yaml.safe_load(text)["nav"]

    def named(item: object) -> Iterator[str]:
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            for part in item.values():
                yield from named(part)
        elif isinstance(item, list):
            for part in item:
                yield from named(part)

    assert sorted(named(told)) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


# The built site ---------------------------------------------------------------------------------------------------


@dataclass
class Page(HTMLParser):
    """What a page asks for, what it links to, and what can be linked to in it."""

    asked: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    anchors: set[str] = field(default_factory=lambda: {"", "__top"})
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a":
            self.links |= {given["href"]} if "href" in given else set()
        elif tag == "link":
            self.asked |= {given["href"]} if given.get("rel") not in ("canonical", "next", "prev") else set()
        else:
            self.asked |= {given[name] for name in ("src", "data", "poster", "action") if given.get(name)}
            self.asked |= {part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()}

    def handle_data(self, data: str) -> None:
        self.text += data


def is_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc) or urlsplit(address).scheme not in ("", "data")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a link that leads nowhere is an error."""
    pytest.importorskip("mkdocstrings", reason="the extra docs is not installed (make docs installs it)")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def read(folder: Path) -> dict[str, Page]:
    found = {}
    for file in folder.rglob("*.html"):
        page = found[file.relative_to(folder).as_posix()] = Page()
        page.feed(file.read_text())
    return found


@pytest.mark.end_to_end
def test_the_site_asks_nobody_else_and_has_no_dead_link(site: Path) -> None:
    pages = read(site)
    assert len(pages) > 20
    for name, page in pages.items():
        assert not [address for address in page.asked if is_elsewhere(address)], name
        if name == "404.html":
            continue
        for target in page.asked | {link for link in page.links if not is_elsewhere(link)}:
            path, _, anchor = target.partition("#")
            meant = ((site / name).parent / unquote(path.partition("?")[0])).resolve() if path else site / name
            file = meant / "index.html" if meant.is_dir() else meant
            if urlsplit(target).scheme != "data":
                assert file.exists(), f"{name}: {target}"
            if anchor and file.suffix == ".html":
                assert unquote(anchor) in pages[file.relative_to(site.resolve()).as_posix()].anchors, (
                    f"{name}: {target}"
                )
    for file in (*site.rglob("*.css"), *site.rglob("*.svg")):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", file.read_text()), file.name


@pytest.mark.end_to_end
def test_every_page_of_the_site_carries_tmdb_s_notice_and_no_diagram_that_would_be_drawn_by_a_script(
    site: Path,
) -> None:
    for name, page in read(site).items():
        assert NOTICE in " ".join(page.text.split()), name
        assert 'class="mermaid"' not in (site / name).read_text(), name
