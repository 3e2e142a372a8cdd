"""`ayne completion`: the script by which a shell completes the command. What may follow, click tells by the options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ayne_dagster.commands.options import OneOf
from ayne_dagster.commands.output import fail, writing

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_AYNE_COMPLETE"
"""By it the script asks the command what may follow; click names it after the program."""


@click.command()
@click.argument("shell", type=OneOf(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and their values in a shell.

    \b
    bash  ayne completion bash > ~/.local/share/bash-completion/completions/ayne
    zsh   ayne completion zsh > ~/.zfunc/_ayne, with fpath+=~/.zfunc before compinit in ~/.zshrc
    fish  ayne completion fish > ~/.config/fish/completions/ayne.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        fail(f"This version of click completes nothing in {shell}: upgrade it.")
    with writing():
        click.echo(kind(context.find_root().command, {}, "ayne", VARIABLE).source())
