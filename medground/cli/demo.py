"""``medground demo``: indexing, evaluation, fine-tuning and one verified answer on the sample."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_answer, print_table, wrapped

if TYPE_CHECKING:
    from eval.results import TaskResult
    from medground.settings import Settings

Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Where the results go.")]
STEPS = 320  # of teaching inference: a minute or two on two cores


@app.command()
def demo(output: Output = Path("results/demo"), limit: options.Limit = None, quiet: options.Quiet = False) -> None:
    """Run retrieval, answers, fine-tuning and verification on the sample.

    It indexes the sample, evaluates retrieval and answers, fine-tunes the model on inference, and answers one question
    with
    verified evidence. It needs no hub, no GPU and no settings. --limit limits records, pairs and training steps.
    """
    settings = options.make_settings(None, None, limit=limit)
    from eval.results import check_output, write_results
    from eval.tables import result_tables
    from medground.corpora import data_corpus
    from medground.pipeline import Pipeline
    from medground.tasks import PipelineResources, qa_tasks, retrieval_tasks, run_tasks

    check_output(output)
    pipeline = Pipeline.from_settings(settings, data_corpus(settings), quiet=quiet)
    typer.echo("Retrieval: each question of the sample is asked against all of its abstracts.\n")
    every = options.make_settings(None, None, split="all", limit=limit)
    searching = Pipeline.from_settings(every, pipeline.corpus, retrievers=pipeline.retrievers(), quiet=quiet)
    found = list(run_tasks(retrieval_tasks(settings), PipelineResources(searching)))
    for table in result_tables(found):
        print_table(table)

    typer.echo("Answers: the test questions without a text, with what is retrieved, and with their own abstract.\n")
    resources = PipelineResources(pipeline)
    test = resources.records()
    answered = list(run_tasks(qa_tasks(settings, len(test)), resources))
    for table in result_tables(answered):
        print_table(table)

    adapter = output / "adapter"
    judged = _inference(output, adapter, limit, quiet)

    shown = next((record for record in test if record.label != "maybe"), test[0])  # a maybe is never supported
    typer.echo(f"One answer with its evidence, verified.\n\n{wrapped(shown.question)}")
    checking = options.make_settings(None, ["chain.verify=report", f"nli.adapter={adapter}"], limit=limit)
    verified = Pipeline.from_settings(checking, pipeline.corpus, retrievers=pipeline.retrievers(), quiet=quiet)
    print_answer(verified.chain().invoke(shown.question))
    typer.echo(f"  the record says: {shown.label}\n\n{pipeline.note}")
    results = write_results(output, [*found, *answered, *judged], settings.model_dump(mode="json"))
    typer.echo(f"\nResults: {results}; each question with its prompt: {output}/samples_*.jsonl")
    typer.echo(f"Adapter: {adapter}; merged: {output / 'merged'}")
    typer.echo(f"Store:   {settings.store.path}")


def _inference(output: Path, adapter: Path, limit: int | None, quiet: bool) -> "list[TaskResult]":
    """Results on the pairs before and after fine-tuning, and a comparison with the merged model."""
    from corpus.load import load_records
    from eval.tables import result_tables
    from finetune.merge import merge
    from finetune.qlora.train import train_qlora

    steps = min(STEPS, limit or STEPS)
    recipe = {"max_steps": steps, "every": max(1, steps // 2), "learning_rate": 2e-3, "answer_pairs": True}
    overrides = ["llm.quantization=4bit", *(f"train.qlora.{name}={value}" for name, value in recipe.items())]
    settings = options.make_settings(None, overrides, limit=limit, section="pairs")
    typer.echo(f"Inference: the test pairs with the model as it is, in 4 bits, and after {steps} steps of QLoRA.")
    typer.echo("The whole recipe is configs/qlora.yaml.\n")
    before = _judged(settings, "before", quiet)
    print_table(result_tables([before])[0])
    answers = load_records(settings.data, split="train")
    train_qlora(
        settings.llm, settings.prompt, settings.pairs, settings.train.qlora, adapter, answers=answers, quiet=quiet
    )
    taught = options.make_settings(None, [*overrides, f"llm.adapter={adapter}"], limit=limit, section="pairs")
    after = _judged(taught, None, quiet)
    print_table(result_tables([after])[0])

    merged = output / "merged"
    if (merged / "merge.json").is_file():  # of an earlier run of this command
        shutil.rmtree(merged)
    whole = options.make_settings(None, ["llm.dtype=float32"], limit=limit, section="pairs")
    from corpus.nli import load_pairs

    pairs = load_pairs(whole.pairs)
    report = merge(str(adapter), merged, llm=whole.llm, pairs=pairs.pairs, labels=pairs.labels, quiet=quiet)
    typer.echo(f"{report.text()}\n")
    return [before, after]


def _judged(settings: "Settings", tag: str | None, quiet: bool) -> "TaskResult":
    from eval.tasks import NLITask
    from medground.pipeline import Pipeline
    from medground.tasks import PipelineResources

    return NLITask(tag=tag).run(PipelineResources(Pipeline.from_settings(settings, quiet=quiet)))
