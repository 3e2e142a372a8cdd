"""Links from assets in Dagster's UI to their code: on the web where the checkout knows where, else on this machine.

Git is not run, since it may be missing: what is needed stands in a few lines of its files. Nothing here fails a start.

https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

import dagster as dg

PACKAGE = Path(__file__).parent.parent
_SHORT_ADDRESS = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")
"""As ssh takes it: git@github.com:owner/name.git."""


@dataclass(frozen=True)
class Place:
    """Where a checkout's code is shown on the web."""

    url: str
    """Without user, password or token."""
    branch: str
    """One that is there."""
    platform: Literal["github", "gitlab"]


def linked_to_code(assets: Sequence[dg.AssetsDefinition], place: Place | None) -> list[dg.AssetsDefinition]:
    """The assets, each with the place of its function.

    Args:
        assets: the assets.
        place: where the code is shown on the web; None: it is linked as files of this machine.
    """
    try:
        linked = dg.with_source_code_references(assets)
    except (OSError, TypeError):  # installed without sources
        return list(assets)
    if place is not None:
        anchor = dg.AnchorBasedFilePathMapping(PACKAGE / "__init__.py", f"{PACKAGE.name}/__init__.py")
        linked = dg.link_code_references_to_git(linked, place.url, place.branch, anchor, place.platform)
    return cast("list[dg.AssetsDefinition]", list(linked))


def published_at(folder: Path = PACKAGE.parent) -> Place | None:
    """Where the code of a checkout is shown on the web; None for what is no checkout, or knows no such place."""
    try:
        git = _git_folder(folder)
        config = configparser.ConfigParser(strict=False, allow_no_value=True, interpolation=None)
        common = git / "commondir"
        shared = (git / common.read_text().strip()) if common.exists() else git
        config.read_string((shared / "config").read_text())
        url = web_address(config.get('remote "origin"', "url", fallback="") or "")
        branch = _published_branch((git / "HEAD").read_text().strip(), config, shared)
    except (OSError, ValueError, configparser.Error):
        return None
    host = urlsplit(url).hostname or ""
    platform = next((name for name in ("github", "gitlab") if name in host), None)
    return Place(url, branch, cast("Literal['github', 'gitlab']", platform)) if platform and branch else None


def _git_folder(folder: Path) -> Path:
    """The `.git` of a checkout; that of a second worktree is a file that names it."""
    git = folder / ".git"
    if git.is_file():
        return folder / git.read_text().strip().removeprefix("gitdir: ")
    return git


def _published_branch(head: str, config: configparser.ConfigParser, git: Path) -> str:
    """The remote's branch that the present one follows, or else the remote's main one; empty where neither is known."""
    here = f'branch "{head.removeprefix("ref: refs/heads/")}"'
    if config.get(here, "remote", fallback="") == "origin":
        return (config.get(here, "merge", fallback="") or "").removeprefix("refs/heads/")
    main = git / "refs" / "remotes" / "origin" / "HEAD"
    return main.read_text().strip().removeprefix("ref: refs/remotes/origin/") if main.exists() else ""


def web_address(remote: str) -> str:
    """The https address of a remote, without what opens it; empty for a remote that is none on the web."""
    short = _SHORT_ADDRESS.fullmatch(remote)
    parts = urlsplit(f"ssh://{short[1]}/{short[2]}" if short else remote)
    if parts.scheme not in ("https", "http", "ssh", "git") or not parts.hostname:
        return ""
    return f"https://{parts.hostname}/{parts.path.strip('/').removesuffix('.git')}"
