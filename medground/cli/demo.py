"""``medground demo``: indexing, evaluation, fine-tuning and one verified answer on the sample."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import print_answer, print_table, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chains.answer import Answer
    from corpus.records import QARecord
    from medground.pipeline import Pipeline
    from medground.settings import Settings

Output = Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder of the results.")]
STEPS = 320  # steps of QLoRA, which take one to two minutes on two cores
BATCH_SIZE = 32  # questions that are answered at once until the two answers to show are found


@app.command()
def demo(output: Output = Path("results/demo"), limit: options.Limit = None, quiet: options.Quiet = False) -> None:
    """Run retrieval, answers, fine-tuning and verification on the sample.

    It indexes the sample, evaluates retrieval and answers, trains an inference adapter, and shows a right and a wrong
    answer with their verdicts. It needs no hub, no GPU and no settings. --limit limits the number of records, pairs
    and steps.
    """
    settings = options.make_settings(None, None, limit=limit)
    from eval.results import RESULTS_FILE, prepare_output_folder, write_results
    from eval.tables import result_tables
    from medground.ingest import data_corpus
    from medground.pipeline import Pipeline
    from medground.tasks import PipelineResources, qa_tasks, retrieval_tasks, run_tasks

    prepare_output_folder(output)
    pipeline = Pipeline.from_settings(settings, data_corpus(settings), quiet=quiet)
    typer.echo(f"{pipeline.note}\n")
    typer.echo("Retrieval: each question of the sample is searched among all of its abstracts.\n")
    all_records = options.make_settings(None, None, split="all", limit=limit)
    searching = Pipeline.from_settings(all_records, pipeline.corpus, retrievers=pipeline.retrievers(), quiet=quiet)
    retrieval = list(run_tasks(retrieval_tasks(settings), PipelineResources(searching)))
    for table in result_tables(retrieval):
        print_table(table)
    write_results(output, retrieval, all_records.model_dump(mode="json"))

    typer.echo("Answers: the test questions without context, with retrieved passages, and with their own abstract.\n")
    resources = PipelineResources(pipeline)
    test_records = resources.records()
    answers = list(run_tasks(qa_tasks(settings, test_records), resources))
    for table in result_tables(answers):
        print_table(table)
    write_results(output, answers, settings.model_dump(mode="json"))

    adapter = output / "adapter"
    _train_and_evaluate_inference(output, adapter, limit, quiet)

    verifying = options.make_settings(None, ["chain.verify=report", f"nli.adapter={adapter}"], limit=limit)
    _show_answers(
        Pipeline.from_settings(verifying, pipeline.corpus, retrievers=pipeline.retrievers(), quiet=quiet), test_records
    )
    typer.echo(f"\nResults: {output / RESULTS_FILE}; each question with its prompt: {output}/samples_*.jsonl")
    typer.echo(f"Adapter: {adapter}; merged: {output / 'merged'}")
    typer.echo(f"Store:   {settings.store.path}")


def _show_answers(pipeline: "Pipeline", records: "Sequence[QARecord]") -> None:
    """Print the first right answer with the verdict supported and the first wrong one with the verdict contradicted."""
    titles = {  # by whether the answer is right, and its verdict
        (True, "supported"): "A right answer, supported by its passage:",
        (False, "contradicted"): "A wrong answer, contradicted by its passage:",
    }
    chain = pipeline.chain()
    examples: dict[tuple[bool, str | None], tuple[QARecord, Answer]] = {}
    for start in range(0, len(records), BATCH_SIZE):
        batch = records[start : start + BATCH_SIZE]
        for record, answer in zip(batch, chain.batch([record.question for record in batch]), strict=True):
            examples.setdefault((answer.label == record.label, answer.verdict), (record, answer))
        if titles.keys() <= examples.keys():
            break
    for key, title in titles.items():
        if key not in examples:
            typer.echo(f"{title} none among the {len(records)} test questions.\n")
            continue
        record, answer = examples[key]
        typer.echo(f"{title}\n\n{wrapped(record.question)}")
        print_answer(answer)
        typer.echo(f"  answer of the record: {record.label}\n")


def _train_and_evaluate_inference(output: Path, adapter: Path, limit: int | None, quiet: bool) -> None:
    """Train an adapter, evaluate the pairs before and after, and compare the merged model with the adapter."""
    from corpus.load import load_records
    from finetune.merge import merge
    from finetune.qlora.train import train_qlora

    steps = min(STEPS, limit or STEPS)
    recipe = {"max_steps": steps, "every": max(1, steps // 2), "learning_rate": 2e-3, "answer_pairs": True}
    overrides = ["llm.quantization=4bit", *(f"train.qlora.{name}={value}" for name, value in recipe.items())]
    settings = options.make_settings(None, overrides, limit=limit, section="pairs")
    typer.echo(f"Inference: the test pairs before and after {steps} steps of QLoRA, base in 4 bits.")
    typer.echo("configs/qlora.yaml has the full recipe.\n")
    _evaluate_pairs(settings, "before", output, quiet)
    answers = load_records(settings.data, split="train")
    train_qlora(
        settings.llm, settings.prompt, settings.pairs, settings.train.qlora, adapter, answers=answers, quiet=quiet
    )
    tuned = options.make_settings(None, [*overrides, f"llm.adapter={adapter}"], limit=limit, section="pairs")
    _evaluate_pairs(tuned, None, output, quiet)

    merged = output / "merged"
    if (merged / "merge.json").is_file():  # from an earlier run
        shutil.rmtree(merged)
    unquantized = options.make_settings(None, ["llm.dtype=float32"], limit=limit, section="pairs")
    from corpus.inference.pairs import load_pairs

    pairs = load_pairs(unquantized.pairs)
    report = merge(str(adapter), merged, llm=unquantized.llm, pairs=pairs.pairs, labels=pairs.labels, quiet=quiet)
    typer.echo(f"{report.text()}\n")


def _evaluate_pairs(settings: "Settings", tag: str | None, output: Path, quiet: bool) -> None:
    """Evaluate the pairs, print the first table, and write the result with the settings that it was measured with."""
    from eval.results import write_results
    from eval.tables import result_tables
    from eval.tasks import NLITask
    from medground.pipeline import Pipeline
    from medground.tasks import PipelineResources

    result = NLITask(tag=tag).run(PipelineResources(Pipeline.from_settings(settings, quiet=quiet)))
    print_table(result_tables([result])[0])
    write_results(output, [result], settings.model_dump(mode="json"))
