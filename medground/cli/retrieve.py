"""``medground retrieve``: passages for a question."""

from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_json, print_passages, say


@app.command()
def retrieve(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to look for, in quotes.")],
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find passages for a question.

    They are printed with their scores, best first; higher is better, and the scale is the retriever's own.

    It looks in your indexed documents where there are any and --data is not given, else in the data's abstracts.
    """
    settings = options.make_settings(config, overrides, data=data)
    from chains.qa.base import as_passage
    from medground.assemble import make_retrievers
    from medground.corpora import searched_corpus

    question = options.checked_question(question)
    corpus = searched_corpus(settings, data_named=data is not None)
    retriever = make_retrievers(settings, corpus, [settings.retriever], quiet=quiet)[settings.retriever]
    found = [as_passage(document) for document in retriever.invoke(question)]
    if as_json:
        passages = [one.model_dump(mode="json") for one in found]
        print_json({"question": question, "retriever": settings.retriever, "corpus": corpus.name, "passages": passages})
    elif found:
        print_passages(found)
    else:
        say("Nothing was found.")
    if corpus.note is not None:
        say(corpus.note)
