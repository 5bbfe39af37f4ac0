"""``medground merge``: merges an adapter into its base, and compares the merged model with base + adapter.

The merged model is loaded from disk. Both models score labelled pairs in the same number format. Merging rounds each
weight to that format, so that in 16 bits the logits differ a little.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError

from chains.config import Family, LLMConfig
from chains.models.adapters import merge_adapter, read_adapter
from chains.models.batching import free_memory
from chains.models.local import EMBEDDED, LocalLLM, load_llm, resolve_dtype
from chains.prompts import PromptFamily
from common.errors import UserError
from common.fingerprints import to_jsonable
from common.logs import no_bars
from corpus.inference.pairs import NLIPair
from finetune.agreement import Comparison, PairScorer, compare

REPORT = "merge.json"


@dataclass(frozen=True, slots=True)
class Bound:
    """The limits of a merge: the smallest agreement of the labels, and the largest difference of a logit."""

    agreement: float
    logit_difference: float

    def includes(self, comparison: Comparison) -> bool:
        """Whether a comparison is within the bound; a comparison with NaN is not."""
        return comparison.agreement >= self.agreement and comparison.logit_difference <= self.logit_difference

    def __str__(self) -> str:
        return f"at least {self.agreement:.0%} and at most {self.logit_difference:g}"


# Logits between 16 and 32 are multiples of 1/8 in bfloat16 and of 1/64 in float16. A bound is several of these steps,
# since the rounding of all layers adds up.
BOUNDS = {"float32": Bound(1.0, 0.01), "bfloat16": Bound(0.99, 1.0), "float16": Bound(0.99, 0.25)}


@dataclass(frozen=True, slots=True)
class MergeReport:
    """The result of a merge, also written to ``merge.json`` in ``output``.

    Attributes:
        pairs: number of pairs that the models were compared on.
        too_long: number of pairs that do not fit the model's window and were left out.
        accuracy: by model: ``adapter`` (base and adapter), ``merged`` and, unless ``nf4`` is None, ``nf4``.
        compared: the merged model compared with base and adapter, both in ``dtype``.
        passed: whether ``compared`` is within ``bound``.
        nf4: the merged model compared with the adapter on an NF4 base; None if the base cannot be loaded in 4 bits.
        notes: advice on using the merged model and, if ``nf4`` is None, the reason.
    """

    adapter: str
    base: str
    output: str
    dtype: str
    labels: tuple[str, ...]
    prompt_family: PromptFamily
    pairs: int
    too_long: int
    accuracy: dict[str, float]
    compared: Comparison
    bound: Bound
    passed: bool
    nf4: Comparison | None
    notes: tuple[str, ...]

    def text(self) -> str:
        """The report as text."""
        names = {"adapter": "base + adapter", "merged": "merged", "nf4": "NF4 base + adapter"}
        left_out = f" ({self.too_long} are too long for the model)" if self.too_long else ""
        lines = [
            f"{self.output}: {self.adapter} merged into {self.base}, {self.dtype}",
            f"compared on {self.pairs} pairs{left_out}; a label's logit is the log of its probability after the prompt",
            f"merged and base + adapter: {self.compared}",
            f"  {'within' if self.passed else 'OUTSIDE'} the bound for {self.dtype}: {self.bound}",
        ]
        if self.nf4 is not None:
            lines.append(f"merged and NF4 base + adapter: {self.nf4}")
        lines.append("accuracy: " + ", ".join(f"{names[key]} {value:.3f}" for key, value in self.accuracy.items()))
        return "\n".join([*lines, *self.notes])

    def check(self) -> None:
        """Raise ``UserError`` if the merged model is outside the bound; its files stay on disk."""
        if not self.passed:
            advice = "" if self.dtype == "float32" else "Merge into another folder with llm.dtype float32, or "
            advice += "use the adapter unmerged (llm.adapter)."
            raise UserError(
                f"{self.output} differs too much from {self.base} with {self.adapter}: {self.compared}, and the "
                f"bound for {self.dtype} is {self.bound}. The files are kept. {advice[0].upper()}{advice[1:]}"
            )


def merge(
    adapter: str,
    output: Path,
    *,
    llm: LLMConfig,
    pairs: Sequence[NLIPair],
    labels: Sequence[str],
    prompt_family: Family = "auto",
    quiet: bool = False,
) -> MergeReport:
    """Merge ``adapter`` into its base, leave the model in ``output``, and compare it with base and adapter.

    ``output`` becomes a model folder for transformers and ``llm.model``: weights in ``llm``'s number format, greedy
    generation settings, the tokenizer with the adapter's chat template, and ``merge.json``. The folder appears in one
    step at the end, even if the merge is outside the bound; after an error there is no folder.

    Args:
        adapter: folder or hub id of a LoRA adapter.
        output: a folder that does not exist or is empty.
        llm: the base and its number format. If the model is ``embedded``, the base is the one in the
            adapter's configuration. ``llm.adapter`` is ignored.
        pairs: pairs to compare the models on.
        labels: the candidate labels, two or more.
        prompt_family: the prompts' wording.
        quiet: show no progress bars on stderr.

    Raises:
        UserError: the base is quantised, base or adapter cannot be loaded, do not fit each other or cannot be merged,
            there is nothing to compare on, or ``output`` is not empty or cannot be written to.
    """
    if llm.quantization != "none":
        raise UserError(
            f"llm.quantization is {llm.quantization}, and merging into quantized weights would lose the adapter to "
            "rounding. Set llm.quantization to none: the adapter is merged into the 16- or 32-bit base (llm.dtype), "
            "and the result can still be loaded in 4 bits."
        )
    if not pairs:
        raise UserError("There are no pairs to compare the models on. Choose other data, or another split.")
    if len(set(labels)) < 2:
        raise UserError(f"A comparison needs two labels or more; there is {', '.join(labels) or 'none'}.")
    dtype = str(resolve_dtype(llm)).removeprefix("torch.")
    changes = {"model": _find_base(adapter, llm), "adapter": adapter, "merge_adapter": False, "dtype": dtype}
    base = llm.model_copy(update=changes)
    with _new_folder(output) as folder:
        adapted = load_llm(base)
        if getattr(adapted.model, "is_quantized", False):
            raise UserError(
                f"Model {base.model} has quantized weights, and an adapter cannot be merged into them. "
                "Set llm.model to its 16- or 32-bit original."
            )
        _check_space(adapted, output)
        family = adapted.family(prompt_family)
        scorer = PairScorer(adapted, pairs, labels, family=family)
        adapter_scores = scorer.scores(adapted, "base + adapter", quiet=quiet)
        model = merge_adapter(adapted.model, adapter)
        with _write_errors(output), no_bars():
            model.save_pretrained(folder)
            adapted.tokenizer.save_pretrained(folder)
        del model
        del adapted
        free_memory()

        merged = load_llm(base.model_copy(update={"model": str(folder), "adapter": None}))
        merged_scores = scorer.scores(merged, "merged", quiet=quiet)
        family_changes = replace(merged, name=str(output)).family(prompt_family) != family
        notes = []
        if family_changes:
            notes.append(f"Set prompt.family to {family} with this model: its name no longer shows the family.")
        del merged
        free_memory()

        accuracy = {"adapter": scorer.accuracy(adapter_scores), "merged": scorer.accuracy(merged_scores)}
        nf4 = None
        try:
            nf4_scores = scorer.scores(load_llm(base.model_copy(update={"quantization": "4bit"})), "NF4", quiet=quiet)
        except UserError as error:
            notes.append(f"Not compared with the adapter on a base in 4 bits: {error}")
        else:
            accuracy["nf4"] = scorer.accuracy(nf4_scores)
            nf4 = compare(merged_scores, nf4_scores)
        compared, bound = compare(merged_scores, adapter_scores), BOUNDS[dtype]
        report = MergeReport(
            adapter=adapter,
            base=base.model,
            output=str(output),
            dtype=dtype,
            labels=tuple(labels),
            prompt_family=family,
            pairs=len(scorer.pairs),
            too_long=len(pairs) - len(scorer.pairs),
            accuracy=accuracy,
            compared=compared,
            bound=bound,
            passed=bound.includes(compared),
            nf4=nf4,
            notes=tuple(notes),
        )
        with _write_errors(output):
            (folder / REPORT).write_text(json.dumps(to_jsonable(asdict(report)), indent=1) + "\n", encoding="utf-8")
    return report


def _find_base(adapter: str, llm: LLMConfig) -> str:
    """``llm.model`` if the user chose one, else the base that the adapter was trained on."""
    trained_on = read_adapter(adapter).base_model_name_or_path or "embedded"
    if llm.model != "embedded" or Path(trained_on).parts[-2:] == EMBEDDED.parts[-2:]:
        return llm.model  # if the adapter names another installation's medground-tiny: "embedded", which is this one's
    if Path(trained_on).is_absolute() and not Path(trained_on).is_dir():
        raise UserError(
            f"Adapter {adapter} was trained on {trained_on}, and there is no such folder. Set llm.model to its base."
        )
    return str(trained_on)


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``output`` at the end and is removed after an error."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} already exists. Choose a new folder for the merged model, or remove that one.")
    with _write_errors(output):
        if output.exists():
            output.rmdir()
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent)
    with scratch:
        folder = Path(scratch.name) / output.name
        yield folder
        with _write_errors(output):
            folder.rename(output)


def _check_space(llm: LocalLLM, output: Path) -> None:
    needed, free = llm.model.get_memory_footprint(), shutil.disk_usage(output.parent).free
    if free < needed:
        raise UserError(
            f"{output} needs about {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free there. Free "
            "some space, or choose a folder on another disk."
        )


@contextmanager
def _write_errors(output: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise UserError(
            f"The merged model cannot be written to {output}: {reason}. Free some space, or choose another folder."
        ) from error
