"""The `ayne` command: puts `commands` together, and turns errors into exit codes.

Results go to stdout (with `--json` exactly one JSON object), progress and messages to stderr. Exit codes: 0 done,
1 failed, 2 wrong usage or settings, 130 interrupted; which one an error means, its class says (`errors`). Modules that
are slow to load are loaded by the command that needs them.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ayne_dagster.commands import (
    asking,
    box_office,
    collecting,
    completion,
    dashboard,
    data,
    decisions,
    doubts,
    feeds,
    legacy,
    operations,
    serving,
    showing,
    simulation,
    status,
)
from ayne_dagster.commands.examples import show_examples
from ayne_dagster.commands.output import flush_stdout, give_up_stderr, give_up_stdout, make_streams_usable, one_line
from ayne_dagster.commands.process import own
from ayne_dagster.errors import DONE, FAILED, INTERRUPTED, WRONG_USAGE, OneLineError

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
    box_office.box_office,
    legacy.import_legacy,
    showing.show,
    asking.query,
    asking.tables,
    asking.schema,
    asking.history,
    doubts.doubts,
    data.export,
    data.purge,
    operations.snapshot,
    operations.check,
    operations.tidy,
    operations.maintain,
    operations.move,
    operations.doctor,
    simulation.simulate,
    serving.standin,
    serving.dev,
    serving.ui,
    serving.daemon,
    dashboard.dashboard,
    completion.completion,
):
    ayne.add_command(_command)
    show_examples(_command, str(_command.name))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code; every error is one line on stderr.

    SIGTERM is what Ctrl-C is, from the first moment on. So is SIGHUP, which a terminal sends when it is closed or its
    connection drops, unless it is ignored, as `nohup` has it.
    """
    make_streams_usable()
    own()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _terminate)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else somebody wants it ignored
        signal.signal(signal.SIGINT, _interrupt)
    try:
        code = run(arguments)
    except KeyboardInterrupt:  # while the command was still being loaded
        code = _say(INTERRUPTION, INTERRUPTED)
    # All is said and done: a second signal while the interpreter ends would only change the exit code.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # the interpreter looks through all objects at its end: of Dagster and its UI for seconds, for nothing
    sys.exit(code)


def _interrupt(number: int, _: object) -> NoReturn:
    _signals.append(number)
    raise KeyboardInterrupt


def _terminate(_number: int, _frame: object) -> None:
    """Do what SIGTERM does at this moment: servers, commits and runs have handlers of their own for that."""
    signal.raise_signal(signal.SIGTERM)


_signals: list[int] = []
"""Those that have raised: what they interrupt may turn them into an error of its own, as DuckDB does."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    try:
        return _run(arguments)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG_USAGE
    except click.ClickException as error:
        where = f" (see `{ctx.command_path} --help`)" if (ctx := getattr(error, "ctx", None)) else ""
        return _say(f"{error.format_message()}{where}", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _say(INTERRUPTION, INTERRUPTED)
    except OneLineError as error:
        return _say(str(error), error.exit_code)
    except BrokenPipeError:  # the reader went away (`ayne due | head`)
        give_up_stdout()
        return FAILED
    except Exception as error:
        if _signals:
            return _say(INTERRUPTION, INTERRUPTED)
        if isinstance(error, OSError):
            return _say(_of_the_system(error), FAILED)
        raise


def _run(arguments: Sequence[str] | None) -> int:
    try:
        ayne.main(args=arguments, prog_name="ayne", standalone_mode=False)
    finally:
        flush_stdout()
    return DONE


def _of_the_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; nothing more was done."


def _say(message: str, code: int) -> int:
    try:
        click.echo(f"ayne: {one_line(' '.join(message.split()))}", err=True)
    except OSError:  # nobody can be told, but for the exit code
        give_up_stderr()
    return code
