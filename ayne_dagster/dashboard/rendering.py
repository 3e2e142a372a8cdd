"""HTML from what pages show: templates, how values are written, and which policy a page comes with. Knows no database.

Everything that is shown may hold a stranger's text. Jinja escapes all of it, and what would steer a terminal, turn the
direction of writing or hide is made visible before.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Of every page that is served: nothing inline, and nothing from elsewhere."""
STATIC = {
    "style.css": "text/css",
    "uplot.css": "text/css",
    "uplot.js": "text/javascript",
    "charts.js": "text/javascript",
    "live.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "uplot.LICENSE.txt": "text/plain",
}
"""Every file that is served, with its type: none is looked for by the name that somebody asks for."""
_STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def static(name: str) -> str:
    """The text of a file of `STATIC`."""
    return (files("ayne_dagster.dashboard") / "static" / name).read_text("utf-8")


def page(template: str, model: Mapping[str, Any]) -> str:
    """A page as it is served."""
    return _ENVIRONMENT.get_template(template).render(offline=False, **model)


def one_file(template: str, model: Mapping[str, Any]) -> str:
    """A page that needs no server: styles and scripts within, and a policy that names them by their hashes."""
    style = f"{static('uplot.css')}\n{static('style.css')}"
    licence = static("uplot.LICENSE.txt").replace("*/", "")
    script = f"/*\nuPlot:\n{licence}*/\n{static('uplot.js')}\n{static('charts.js')}"
    if "</script" in script.lower() or "</style" in style.lower():
        raise ValueError("A static file would end its own element.")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    # All three are of the package's own files; what comes from a database is in `model`, and escaped.
    within = {"offline": True, "style": Markup(style), "script": Markup(script), "policy": Markup(policy)}  # noqa: S704
    return _ENVIRONMENT.get_template(template).render(**within, **model)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def harmless(value: Any) -> Any:
    """A value as a template writes it: nothing for none, and no character that hides or steers."""
    if value is None:
        return ""
    if isinstance(value, Markup):
        return value
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value


def number(value: float | int | None) -> str:
    """`1,234`; a fraction to three digits; a dash for nothing."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def percent(share: float | None) -> str:
    """`97 %`, rounded down so that only what is whole is called 100 %."""
    if share is None:
        return "–"
    if 0 < share < 0.01:
        return "< 1 %"
    return f"{int(share * 100 + 1e-9)} %"


def money(amount: float | None) -> str:
    """US dollars: `$12.3 m`, `$1.2 bn`."""
    if amount is None:
        return "–"
    sign, size = ("−" if amount < 0 else ""), abs(amount)
    for least, word in ((1e9, "bn"), (1e6, "m")):
        if size >= least:
            return f"{sign}${size / least:,.3g} {word}"
    return f"{sign}${size:,.0f}"


def moment(at: datetime | date | None) -> str:
    """A day, or a day and a minute, in UTC."""
    if at is None:
        return "–"
    if not isinstance(at, datetime):
        return at.isoformat()
    return f"{at.astimezone(UTC) if at.tzinfo else at:%Y-%m-%d %H:%M}"


def size(count: int) -> str:
    """Bytes as kB, MB or GB."""
    for least, unit in ((1e9, "GB"), (1e6, "MB")):
        if count >= least:
            return f"{count / least:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"


def value_of(value: Any) -> Any:
    """A value of a table: numbers with separators, instants in UTC, the rest as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return moment(value) if isinstance(value, date) else value


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("ayne_dagster.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=harmless,
    )
    made.filters |= {
        "number": number,
        "percent": percent,
        "money": money,
        "moment": moment,
        "size": size,
        "value": value_of,
    }
    made.globals["zip"] = zip
    return made


_ENVIRONMENT = _environment()
