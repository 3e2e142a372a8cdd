"""The `ayne` command: puts `commands` together, and turns errors into exit codes.

Results go to stdout (with `--json` exactly one JSON object), progress and messages to stderr. Exit codes: 0 done,
1 failed, 2 wrong usage or settings, 130 interrupted. Modules that are slow to load are loaded by the command that
needs them.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ayne_dagster.commands import collecting, data, decisions, feeds, operations, serving, simulation, status
from ayne_dagster.commands.output import CommandFailed, one_line
from ayne_dagster.config import SettingsError

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
INTERRUPTION = "Interrupted; everything that had arrived is kept."


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ayne_dagster", prog_name="ayne")
def ayne() -> None:
    """Build a movie dataset and keep it fresh: discovery, details, ratings, and what to refresh next."""


for _command in (
    serving.demo,
    collecting.collect,
    feeds.changes,
    feeds.files,
    status.stats,
    status.budget,
    decisions.due,
    decisions.explain,
    decisions.freeze,
    decisions.thaw,
    decisions.force,
    data.export,
    data.purge,
    operations.snapshot,
    operations.check,
    operations.doctor,
    simulation.simulate,
    serving.standin,
    serving.dev,
    serving.ui,
):
    ayne.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code; every error is one line on stderr.

    SIGTERM is what Ctrl-C is, from the first moment on.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = run(arguments)
    except KeyboardInterrupt:  # while the command was still being loaded
        code = _say(INTERRUPTION, INTERRUPTED)
    # All is said and done: a second signal while the interpreter ends would only change the exit code.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    from ayne_dagster.sources.errors import SourceError
    from ayne_dagster.sources.ledger import LedgerError
    from ayne_dagster.warehouse.database import DatabaseBusy, DatabaseNotWritten, WarehouseError

    try:
        ayne.main(args=arguments, prog_name="ayne", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG_USAGE
    except click.UsageError as error:
        where = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        return _say(f"{error.format_message()}{where}", WRONG_USAGE)
    except SettingsError as error:
        return _say(str(error), WRONG_USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _say(INTERRUPTION, INTERRUPTED)
    except (DatabaseBusy, DatabaseNotWritten, SourceError) as error:
        return _say(str(error), FAILED)
    except (WarehouseError, LedgerError) as error:
        return _say(str(error), WRONG_USAGE)
    except CommandFailed as error:
        return _say(str(error), FAILED)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 -- the reader went away (`ayne due | head`)
        return FAILED
    return DONE


def _say(message: str, code: int) -> int:
    click.echo(f"ayne: {one_line(' '.join(message.split()))}", err=True)
    return code
