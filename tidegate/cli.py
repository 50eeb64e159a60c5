"""The command `tidegate`: finds its sub-commands by the entry point group `tidegate.commands` and starts the one
asked for.

Only the asked-for sub-command is imported, so `tidegate gateway` starts on a small computer without loading the hub.
"""

import sys
from importlib.metadata import entry_points

import typer

GROUP = "tidegate.commands"


def main() -> None:
    """Entry point of the console script."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    commands = {entry.name: entry for entry in entry_points(group=GROUP)}
    app = typer.Typer(
        name="tidegate",
        help="Carries ocean measurements from the instrument to the forecast.",
        no_args_is_help=True,
        add_completion=False,
    )

    @app.callback()
    def _root() -> None:
        pass

    for name in [asked] if asked in commands else sorted(commands):
        command = commands[name].load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    app()


if __name__ == "__main__":
    main()
