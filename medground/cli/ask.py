"""``medground ask``: one answer with its evidence."""

from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_answer, print_json


@app.command()
def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotes.")],
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Answer a question, with citations.

    It searches your indexed documents if there are any and --data is not given, else the abstracts of the data.
    Without a language model in the settings, answers from your documents are quoted sentences. With agent.kind an agent
    answers; it abstains without evidence and says why.
    """
    settings = options.make_settings(config, overrides, data=data)
    question = options.validated_text(question)
    answer = options.make_pipeline(settings, data, quiet).answerer().invoke(question)
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        print_answer(answer)
