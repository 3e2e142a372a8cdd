"""`ayne dashboard`: the front page in a browser, or as a file. What it shows is put together in `dashboard`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ayne_dagster.commands.options import FilePath, json_option
from ayne_dagster.commands.output import fail, one_line, print_result
from ayne_dagster.commands.working import working
from ayne_dagster.config import Settings, load_settings
from ayne_dagster.dashboard.page_file import write_page

if TYPE_CHECKING:
    from ayne_dagster.doctor import Line


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3001, show_default=True)
@click.option("--write", "file", type=FilePath(), help="Write the front page to FILE, and serve nothing.")
@json_option
def dashboard(port: int, file: Path | None, as_json: bool) -> None:
    """Show how the collection is doing, on http://127.0.0.1:3001.

    What runs and what the budgets still buy, how fresh the movies are, what is next and why, what has changed, whether
    everything is in order, and each movie. It reads only, in a copy that follows the database: no run waits for it.

    With --write the front page becomes one file that needs no server and asks nothing of any.

    Where nothing is set up, it is that of `ayne demo`'s database, as with `ayne dev`.
    """
    settings = load_settings()
    if file is not None:
        _write(settings, file, as_json)
        return
    if as_json:
        raise click.UsageError("--json tells what was written: it means nothing without --write.")
    from ayne_dagster.dashboard.serving import serve
    from ayne_dagster.demo.showing import with_its_world
    from ayne_dagster.serving.listening import ADDRESS, PortTaken, listen

    try:
        listener = listen(port)
    except PortTaken as error:
        fail(str(error))
    with listener, with_its_world(settings) as (shown, world):
        click.echo(one_line(f"Dashboard on http://{ADDRESS}:{port}, database {shown.database_name}{world}"), err=True)
        serve(shown, examined(shown), listener)


def _write(settings: Settings, file: Path, as_json: bool) -> None:
    from ayne_dagster.demo.showing import or_the_demonstration

    shown = or_the_demonstration(settings)
    if shown != settings:
        click.echo(one_line(f"The page shows the database {shown.database_name} (a demonstration's)"), err=True)
    with working("Putting the page together"):
        size = write_page(shown, file)
    result = {"file": str(file), "bytes": size}
    print_result(result, as_json, lambda told: f"{told['file']}  {told['bytes'] / 1e3:,.0f} kB")


def examined(settings: Settings) -> Callable[[], Sequence[Line]]:
    """What looks at the machine; it loads Dagster when it is called first."""

    def examine() -> Sequence[Line]:
        from ayne_dagster.doctor import examine as look

        return look(settings)

    return examine
