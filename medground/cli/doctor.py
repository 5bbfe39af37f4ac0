"""``medground doctor``: checks of the machine and the settings."""

from dataclasses import asdict

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import plain, print_json


@app.command()
def doctor(
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    as_json: options.Json = False,
) -> None:
    """Check the machine and the models and folders of the settings.

    It uses no network and changes nothing. The exit status is 1 if a check failed.
    """
    settings = options.make_settings(config, overrides)
    from medground.doctor import examine

    checks = list(examine(settings))
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            typer.echo(f"{check.state:6}  {check.name:{width}}  {plain(check.value)}")
    if any(check.state == "failed" for check in checks):
        raise typer.Exit(1)
