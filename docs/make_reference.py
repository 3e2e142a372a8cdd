"""Makes docs/reference/commands.md, docs/reference/settings.md and docs/lineage.svg, of the code as it is.

    python docs/make_reference.py

No text about a command or a setting belongs here: those of commands are in `ayne_dagster.commands`, those of settings
in `.env.example`, defaults and bounds in `ayne_dagster.config`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from ayne_dagster.cli import ayne
from ayne_dagster.commands.examples import EXAMPLES
from ayne_dagster.config import MAX_NUMBER, Settings, SettingsError, load_settings

DOCS = Path(__file__).parent
PAGES = {"commands": DOCS / "reference/commands.md", "settings": DOCS / "reference/settings.md"}
PICTURE = DOCS / "lineage.svg"
_SETTING = re.compile(r"^#?([A-Z][A-Z_]+)=(.*)$")
_BOUNDS = re.compile(r"it must be (.*?)(?:, without unit or thousands separator)?\.$")

COMMANDS_HEAD = """# Commands

Made of the code by `make reference`. With `--json`, stdout holds exactly one JSON object; progress and messages go to
stderr. Exit codes: 0 done, 1 failed (the same may go well later), 2 wrong usage or settings (the same fails again),
130 interrupted (what had arrived is kept).
"""
SETTINGS_HEAD = """# Settings

Made of the code and of `.env.example` by `make reference`. Settings are environment variables; a file `.env` in the
working directory is read too, and the environment wins over it. A value that cannot be used is told in one line, with
exit code 2. A name that looks like a setting and is none is told, with the one that may be meant, and ignored. Proxies
and certificates have [variables of their own](../operations.md#networks).
"""


# Commands ---------------------------------------------------------------------------------------------------------


def commands() -> dict[str, click.Command]:
    """Every command by what is typed for it, groups left out and what is in them named whole."""
    found: dict[str, click.Command] = {}
    for name, command in ayne.commands.items():
        parts = getattr(command, "commands", None)
        found |= {f"{name} {part}": sub for part, sub in parts.items()} if parts else {name: command}
    return found


def commands_page() -> str:
    """The page of commands."""
    every = commands()
    rows = [
        f"| [`ayne {name}`](#ayne-{name.replace(' ', '-')}) | {_first(command)} |" for name, command in every.items()
    ]
    lines = [COMMANDS_HEAD, "| command | does |", "|---|---|", *rows, ""]
    for name, command in every.items():
        lines += _command(name, command)
    return "\n".join(lines).rstrip("\n") + "\n"


def _first(command: click.Command) -> str:
    return _text(command).partition("\n")[0]


def _text(command: click.Command) -> str:
    """Its help: a line a paragraph, but for those that click is told not to wrap."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(p if p.startswith("\b") else " ".join(p.split()) for p in paragraphs)


def _command(name: str, command: click.Command) -> Iterator[str]:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    context = click.Context(command, info_name=name)
    usage = " ".join(["ayne", name, *(["[OPTIONS]"] if options else []), *(a.make_metavar(context) for a in arguments)])
    yield f"## ayne {name}"
    yield ""
    yield f"```text\n{usage}\n```"
    yield ""
    for paragraph in _text(command).split("\n\n"):
        kept = paragraph.removeprefix("\b\n")
        yield f"```text\n{kept}\n```" if kept != paragraph else paragraph.replace("<", "&lt;")
        yield ""
    if options:
        yield from ("| option | value | default | is |", "|---|---|---|---|")
        yield from (_option(option, context) for option in options)
        yield ""
    yield "\n".join(["```sh", *EXAMPLES[name], "```"])
    yield ""


def _option(option: click.Option, context: click.Context) -> str:
    value = "" if option.is_flag or option.flag_value is True else _value(option, context)
    shown = option.default if option.show_default and isinstance(option.default, str | int | float) else ""
    default = f"`{shown}`" if shown != "" and not isinstance(shown, bool) else ""
    names = ", ".join(f"`{name}`" for name in option.opts)
    return f"| {names} | {value} | {default} | {_cell(option.help or '')} |"


def _value(option: click.Option, context: click.Context) -> str:
    """What an option takes: the bounds of a number, else as its help has it."""
    kind = option.type
    if isinstance(kind, click.IntRange | click.FloatRange) and option.metavar is None:
        least, most = (None if bound is None else f"{bound:,}" for bound in (kind.min, kind.max))
        return f"{least} to {most}" if least and most else f"{least} or more" if least else "a number"
    return f"`{_cell(option.make_metavar(context))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


# Settings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """An environment variable: its default as one writes it, what it may be, and what it is."""

    name: str
    default: str
    bounds: str
    text: str


def settings() -> list[Setting]:
    """All of them, in the order of `.env.example`; a paragraph there is about the variables under it."""
    found: list[Setting] = []
    said: list[str] = []
    fresh = True
    for line in (DOCS.parent / ".env.example").read_text("utf-8").splitlines()[1:]:
        if match := _SETTING.match(line):
            text = " ".join(said)
            found.append(Setting(match[1], match[2], bounds_of(match[1]), text))
            fresh = True
        elif line.startswith("# "):
            said = [line[2:]] if fresh else [*said, line[2:]]
            fresh = False
    return found


def bounds_of(name: str) -> str:
    """What a setting may be, in the words in which a value that cannot be is refused; nothing where any text may be."""
    told = ""
    for attempt in ("!", f"-{10**30}"):
        try:
            load_settings({name: attempt})
        except SettingsError as error:
            said = _BOUNDS.search(str(error))
            told = said[1] if said else told
    return told.removesuffix(f" and at most {MAX_NUMBER:g}")


def settings_page() -> str:
    """The page of settings."""
    lines = [SETTINGS_HEAD.rstrip("\n")]
    former = None
    for setting in settings():
        if setting.text != former:
            lines += ["", setting.text, "", "| variable | default | may be |", "|---|---|---|"]
            former = setting.text
        default = f"`{setting.default}`" if setting.default else ""
        lines.append(f"| `{setting.name}` | {default} | {_cell(setting.bounds)} |")
    return "\n".join(lines) + "\n"


# Lineage ----------------------------------------------------------------------------------------------------------

WIDE, HIGH, BETWEEN, APART = 156, 34, 54, 18
"""Of a box, and from one to the next, in pixels."""
STYLE = """text{font:13px ui-monospace,monospace;text-anchor:middle;dominant-baseline:central;fill:#1c2733}
rect{fill:#f3f6fa;stroke:#4a6178}path{fill:none;stroke:#4a6178}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#1d2733;stroke:#8fa6bd}path{stroke:#8fa6bd}}"""


def lineage(configured: Settings) -> dict[str, set[str]]:
    """By asset: what it is made of."""
    from ayne_dagster.definitions import build_defs

    specs = build_defs(configured).resolve_all_asset_specs()
    found = {spec.key.path[-1]: {dep.asset_key.path[-1] for dep in spec.deps} for spec in specs}
    return dict(sorted(found.items()))


def lineage_picture(made_of: Mapping[str, set[str]]) -> str:
    """Assets as boxes, each to the right of all that it is made of."""
    columns: dict[int, list[str]] = {}
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        depths[name] = 1 + max((depth(source) for source in made_of.get(name, ())), default=-1)
        return depths[name]

    for name in made_of:
        columns.setdefault(depth(name), []).append(name)
    tallest = max(map(len, columns.values()))
    width = len(columns) * WIDE + (len(columns) - 1) * BETWEEN + 4
    height = tallest * HIGH + (tallest - 1) * APART + 4
    places = {}
    for column, names in columns.items():
        top = (height - len(names) * HIGH - (len(names) - 1) * APART) / 2
        for row, name in enumerate(names):
            places[name] = (2 + column * (WIDE + BETWEEN), top + row * (HIGH + APART))
    drawn = [_arrow(places[source], places[name]) for name, sources in made_of.items() for source in sorted(sources)]
    for name, (x, y) in places.items():
        drawn.append(f'<rect x="{x:g}" y="{y:g}" width="{WIDE}" height="{HIGH}" rx="5"/>')
        drawn.append(f'<text x="{x + WIDE / 2:g}" y="{y + HIGH / 2:g}">{escape(name)}</text>')
    size = f'width="{width}" height="{height:g}" viewBox="0 0 {width} {height:g}"'
    title = "<title>What each asset is made of, from left to right</title>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    return "\n".join([head, title, f"<style>{STYLE}</style>", *drawn, "</svg>", ""])


def _arrow(source: tuple[float, float], target: tuple[float, float]) -> str:
    x, y, end, to = source[0] + WIDE, source[1] + HIGH / 2, target[0], target[1] + HIGH / 2
    bend = BETWEEN * 0.6
    return f'<path d="M{x:g} {y:g}C{x + bend:g} {y:g} {end - bend:g} {to:g} {end:g} {to:g}m-6 -4l6 4l-6 4"/>'


def main() -> None:
    """Write pages and picture."""
    PAGES["commands"].write_text(commands_page(), "utf-8")
    PAGES["settings"].write_text(settings_page(), "utf-8")
    with TemporaryDirectory() as folder:
        PICTURE.write_text(lineage_picture(lineage(Settings(database=Path(folder) / "ayne.duckdb"))), "utf-8")


if __name__ == "__main__":
    main()
