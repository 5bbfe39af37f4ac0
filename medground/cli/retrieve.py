"""``medground retrieve``: passages for a question."""

from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_err, print_json, print_passages


@app.command()
def retrieve(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotes.")],
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find passages for a question.

    Passages are printed with their scores, best first. The scale of the scores depends on the retriever.

    It searches your indexed documents if there are any and --data is not given, else the abstracts of the data.
    """
    settings = options.make_settings(config, overrides, data=data)
    from chains.qa.base import as_passage

    question = options.validated_text(question)
    pipeline = options.make_pipeline(settings, data, quiet)
    corpus = pipeline.corpus
    passages = [as_passage(document) for document in pipeline.retriever().invoke(question)]
    if as_json:
        dumped = [passage.model_dump(mode="json") for passage in passages]
        print_json({"question": question, "retriever": settings.retriever, "corpus": corpus.name, "passages": dumped})
    elif passages:
        print_passages(passages)
    else:
        print_err("Nothing was found.")
    print_err(corpus.note)
