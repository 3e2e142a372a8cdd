"""Links from Dagster's UI to code: on the web where a checkout knows its remote, else in a file; never with a token."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from ayne_dagster.assets.code_references import PACKAGE, Place, linked_to_code, published_at, web_address
from ayne_dagster.config import Settings
from ayne_dagster.definitions import ASSETS, build_defs

HERE = "https://github.com/someone/films"


def checkout(
    folder: Path,
    remote: str = f"{HERE}.git",
    *,
    head: str = "ref: refs/heads/main",
    follows: str = '[branch "main"]\n\tremote = origin\n\tmerge = refs/heads/main\n',
    main: str | None = "main",
) -> Path:
    """A folder with what git writes into a clone, as far as it is read."""
    git = folder / ".git"
    (git / "refs/remotes/origin").mkdir(parents=True)
    fetch = "+refs/heads/*:refs/remotes/origin/*"
    (git / "config").write_text(
        f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {remote}\n\tfetch = {fetch}\n{follows}'
    )
    (git / "HEAD").write_text(f"{head}\n")
    if main:
        (git / "refs/remotes/origin/HEAD").write_text(f"ref: refs/remotes/origin/{main}\n")
    return folder


def sources(assets: list[dg.AssetsDefinition]) -> dict[str, str]:
    return {
        spec.key.to_user_string(): reference.source
        for asset in assets
        for spec in asset.specs
        for reference in spec.metadata["dagster/code_references"].code_references
    }


def test_every_asset_in_the_ui_names_its_code(tmp_path: Path) -> None:
    repository = build_defs(Settings(database=tmp_path / "movies.duckdb")).get_repository_def()
    specs = [spec for spec in repository.asset_graph.asset_nodes if not spec.is_external]
    assert len(specs) == len(ASSETS)
    assert all("dagster/code_references" in spec.metadata for spec in specs)


def test_without_a_place_on_the_web_the_code_is_a_file_on_this_machine() -> None:
    path, _, line = sources(linked_to_code(ASSETS, None))["tmdb_details"].rpartition(":")
    assert Path(path) == PACKAGE / "assets/details.py"
    assert "def tmdb_details(" in "".join(Path(path).read_text().splitlines(keepends=True)[int(line) - 1 :])


@pytest.mark.parametrize(("platform", "where"), [("github", "tree"), ("gitlab", "-/tree")])
def test_a_checkout_that_knows_its_remote_links_to_it(tmp_path: Path, platform: str, where: str) -> None:
    place = published_at(checkout(tmp_path, f"https://{platform}.com/someone/films.git"))
    found = sources(linked_to_code(ASSETS, place))["tmdb_details"]
    assert found.startswith(f"https://{platform}.com/someone/films/{where}/main/ayne_dagster/assets/details.py#L")


@pytest.mark.parametrize("error", [OSError("could not get source code"), TypeError("no source file")])
def test_without_sources_the_assets_are_there_all_the_same(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(_: object) -> None:
        raise error

    monkeypatch.setattr(dg, "with_source_code_references", fails)
    assert linked_to_code(ASSETS, None) == ASSETS


def test_a_folder_that_is_no_checkout_is_shown_nowhere(tmp_path: Path) -> None:
    assert published_at(tmp_path) is None


@pytest.mark.parametrize(
    "remote", ["/srv/films.git", "../films", "https://code.example/films.git", "file:///films.git", ""]
)
def test_a_remote_that_shows_no_code_is_none(tmp_path: Path, remote: str) -> None:
    assert published_at(checkout(tmp_path, remote)) is None


def test_a_second_worktree_knows_what_the_first_does(tmp_path: Path) -> None:
    first, second = checkout(tmp_path / "first"), tmp_path / "second"
    own = first / ".git/worktrees/second"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/main\n")
    (own / "commondir").write_text("../..\n")
    second.mkdir()
    (second / ".git").write_text(f"gitdir: {own}\n")
    assert published_at(second) == Place(HERE, "main", "github")


def test_a_branch_that_only_this_machine_has_is_not_linked_to(tmp_path: Path) -> None:
    assert published_at(checkout(tmp_path / "one", head="ref: refs/heads/mine")) == Place(HERE, "main", "github")
    assert published_at(checkout(tmp_path / "two", head="ref: refs/heads/mine", main=None)) is None
    assert published_at(checkout(tmp_path / "three", head="0" * 40, main="trunk")) == Place(HERE, "trunk", "github")


@pytest.mark.parametrize("spoilt", ["config", "HEAD"])
def test_what_git_did_not_write_keeps_nothing_from_starting(tmp_path: Path, spoilt: str) -> None:
    (checkout(tmp_path) / ".git" / spoilt).write_bytes(b"\xff[[\n")
    assert published_at(tmp_path) is None


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/someone/films",
        "https://x-access-token:ghp_secret@github.com/someone/films.git",
        "git@github.com:someone/films.git",
        "ssh://git@github.com:22/someone/films.git/",
    ],
)
def test_an_address_on_the_web_has_no_user_and_no_token(remote: str) -> None:
    assert web_address(remote) == HERE
