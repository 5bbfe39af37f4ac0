"""``medground merge``: an adapter folded into its base, and whether the result still is what the two were together.

The merged model is read back from the disk and compared with base and adapter on labelled pairs, the same number format
on both sides. Merging rounds every sum to that format, so in 16 bits the two differ a little.
"""

import gc
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError

from chains.config import Family, LLMConfig
from chains.models.adapters import merge_adapter, read_adapter
from chains.models.local import EMBEDDED, LocalLLM, load_llm, resolve_dtype
from chains.prompts import PromptFamily, resolve_family
from common.errors import UserError
from common.fingerprints import plain
from common.logs import no_bars
from corpus.nli import NLIPair
from finetune.agreement import Comparison, PairScorer, Scores, check_comparable, compare

REPORT = "merge.json"


@dataclass(frozen=True, slots=True)
class Bound:
    """At least ``agreement`` of the labels must agree, and no logit may differ by more than ``logit_difference``."""

    agreement: float
    logit_difference: float

    def holds(self, found: Comparison) -> bool:
        """Whether two models are near enough; what is not a number is not."""
        return found.agreement >= self.agreement and found.logit_difference <= self.logit_difference

    def __str__(self) -> str:
        return f"at least {self.agreement:.0%} and at most {self.logit_difference:g}"


# In 16 bits both sides round at every step: logits of 16 to 32 come in steps of 1/8 in bfloat16 and of 1/64 in float16.
BOUNDS = {"float32": Bound(1.0, 0.01), "bfloat16": Bound(0.99, 1.0), "float16": Bound(0.99, 0.25)}


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What was merged and how near it came; ``merge.json`` in ``output`` holds the same.

    Attributes:
        pairs: how many the models were compared on.
        too_long: how many pairs did not fit the model's window and were left out.
        accuracy: of ``adapter`` (base and adapter), ``merged`` and, where there is one, ``nf4``.
        compared: the merged model against base and adapter, both in ``dtype``.
        bound: what ``compared`` must keep; ``passed`` says whether it does.
        nf4: the merged model against the adapter on a base in 4 bits; None where this machine cannot have one.
        notes: what else a user of the merged model must know.
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
        """The report in a few lines for a reader."""
        names = {"adapter": "base + adapter", "merged": "merged", "nf4": "NF4 base + adapter"}
        left_out = f", {self.too_long} too long for the model" if self.too_long else ""
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
        """Raise ``UserError`` where the merged model is outside the bound; its files stay."""
        if not self.passed:
            safer = "" if self.dtype == "float32" else "Merge into another folder with llm.dtype float32, or "
            way = "use the adapter unmerged (llm.adapter)."
            raise UserError(
                f"{self.output} is not what {self.base} and {self.adapter} are together: {self.compared}, and the "
                f"bound for {self.dtype} is {self.bound}. The files are kept. "
                + (safer + way if safer else way.capitalize())
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
    """Merge ``adapter`` into its base, leave the model at ``output``, and report how near the two are.

    ``output`` becomes a folder for transformers and ``llm.model``: the weights in ``llm``'s number format, greedy
    generation settings, the tokenizer with the chat template that the adapter is used with, and ``merge.json``. It
    appears in one step when all is done, within the bound or not; when something fails before, nothing is there.

    Args:
        adapter: folder or hub id of a LoRA adapter.
        output: a folder that does not exist or is empty.
        llm: how the base is loaded. Its model is the base, but for ``embedded``, which leaves it to the adapter to name
            its base. ``llm.adapter`` is not looked at.
        pairs: what the models are compared on.
        labels: the candidate labels, two or more.
        prompt_family: whose wording the prompts have.
        quiet: no progress bars on stderr.

    Raises:
        UserError: a quantised base; an adapter or base that cannot be had, do not fit each other or cannot be merged;
            nothing to compare on; ``output`` holds something or cannot be written.
    """
    if llm.quantization != "none":
        raise UserError(
            f"llm.quantization is {llm.quantization}, and merging into quantised weights would round the adapter away. "
            "Set llm.quantization to none: the adapter goes into the 16- or 32-bit base (llm.dtype says which), and "
            "the result can still be loaded in 4 bits."
        )
    check_comparable(pairs, labels)
    dtype = str(resolve_dtype(llm)).removeprefix("torch.")
    changes = {"model": _base_of(adapter, llm), "adapter": adapter, "merge_adapter": False, "dtype": dtype}
    base = llm.model_copy(update=changes)
    with _appearing(output) as folder:
        attached = load_llm(base)
        if getattr(attached.model, "is_quantized", False):
            raise UserError(
                f"Model {base.model} is stored with quantised weights, and an adapter is not merged into those. "
                "Name its 16- or 32-bit original in llm.model."
            )
        _check_space(attached, output)
        family = _family(attached, prompt_family)
        scorer = PairScorer(attached, pairs, labels, family=family)
        before = scorer.scores(attached, "base + adapter", quiet=quiet)
        _save_merged(attached, adapter, folder, output)
        del attached
        _free_memory()

        merged = load_llm(base.model_copy(update={"model": str(folder), "adapter": None}))
        after = scorer.scores(merged, "merged", quiet=quiet)
        renamed = _family(replace(merged, name=str(output)), prompt_family) != family
        notes = [f"Set prompt.family to {family} with this model: its name no longer tells."] if renamed else []
        del merged
        _free_memory()

        accuracy = {"adapter": scorer.accuracy(before), "merged": scorer.accuracy(after)}
        in_nf4 = _nf4_scores(base, scorer, quiet)
        if isinstance(in_nf4, UserError):
            notes.append(f"Not compared with the adapter on a base in 4 bits: {in_nf4}")
        else:
            accuracy["nf4"] = scorer.accuracy(in_nf4)
        compared, bound = compare(after, before), BOUNDS[dtype]
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
            passed=bound.holds(compared),
            nf4=None if isinstance(in_nf4, UserError) else compare(after, in_nf4),
            notes=tuple(notes),
        )
        with _write_errors(output):
            (folder / REPORT).write_text(json.dumps(plain(asdict(report)), indent=1) + "\n", encoding="utf-8")
    return report


def _base_of(adapter: str, llm: LLMConfig) -> str:
    trained_on = read_adapter(adapter).base_model_name_or_path or "embedded"
    if llm.model != "embedded" or Path(trained_on).parts[-2:] == EMBEDDED.parts[-2:]:
        return llm.model  # as set, or medground-tiny of this or another installation
    if Path(trained_on).is_absolute() and not Path(trained_on).is_dir():
        raise UserError(
            f"Adapter {adapter} was made for {trained_on}, and there is no such folder. Name its base in llm.model."
        )
    return str(trained_on)


def _family(llm: LocalLLM, family: Family) -> PromptFamily:
    return resolve_family(family, llm.model.config.model_type, llm.name, str(llm.tokenizer.chat_template))


def _save_merged(attached: LocalLLM, adapter: str, folder: Path, output: Path) -> None:
    model = merge_adapter(attached.model, adapter)
    with _write_errors(output), no_bars():
        model.save_pretrained(folder)
        attached.tokenizer.save_pretrained(folder)


def _nf4_scores(base: LLMConfig, scorer: PairScorer, quiet: bool) -> Scores | UserError:
    try:
        return scorer.scores(load_llm(base.model_copy(update={"quantization": "4bit"})), "NF4", quiet=quiet)
    except UserError as error:
        return error


def _free_memory() -> None:
    """Give back what models that nothing refers to any more have held on a card."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def _appearing(output: Path) -> Iterator[Path]:
    """A folder that becomes ``output`` at the end and is removed where something fails."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} exists already. Name a new folder for the merged model, or remove that one.")
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
            f"{output} needs about {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free there. Make room, or name a "
            "folder on another disk."
        )


@contextmanager
def _write_errors(output: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise UserError(
            f"The merged model cannot be written to {output}: {reason}. Make room there, or name another folder."
        ) from error
