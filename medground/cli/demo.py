"""``medground demo``: the main job on the embedded default."""

from pathlib import Path
from typing import Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_answer, print_table, wrapped

Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the results go.")]


@app.command()
def demo(output: Output = Path("results/demo"), limit: options.Limit = None, quiet: options.Quiet = False) -> None:
    """Show the main job on the sample.

    It indexes the sample, measures retrieval and answers, and answers one question with its evidence. It runs
    on what came with the installation: no hub, no card, no settings.
    """
    settings = options.make_settings(None, None, limit=limit)
    from corpus.load import load_records
    from eval.results import check_output, write_results
    from eval.table import qa_table, retrieval_table
    from medground.assemble import answering_chain, load_models, make_retrievers, reader_note
    from medground.corpora import data_corpus
    from medground.tasks import measure_qa, measure_retrieval

    check_output(output)
    retrievers = make_retrievers(settings, data_corpus(settings), list(settings.retrievers), quiet=quiet)
    typer.echo("Retrieval: each question of the sample is asked against all of its abstracts.\n")
    found = measure_retrieval(settings, retrievers, load_records(settings.data, split="all"))
    print_table(retrieval_table(found))

    typer.echo("Answers: the test questions without a text, with what is retrieved, and with their own abstract.\n")
    models, retriever, test = load_models(settings), retrievers[settings.retriever], load_records(settings.data)
    answered = measure_qa(settings, models, retriever, test, quiet=quiet)
    print_table(qa_table(answered))

    typer.echo(f"One answer with its evidence.\n\n{wrapped(test[0].question)}")
    print_answer(answering_chain(settings, models, retriever).invoke(test[0].question))
    typer.echo(f"\n{reader_note(settings)}")
    results = write_results(output, [*found, *answered], settings.model_dump(mode="json"))
    typer.echo(f"\nResults: {results}; each question with its prompt: {output}/samples_*.jsonl")
    typer.echo(f"Store:   {settings.store.path}")
