"""The recipe of medground-tiny: ``make tiny``, or ``python -m tools.tiny --output DIR``.

A Llama of 5.3 M parameters, trained from scratch on generated readings, each seen once. The loss is half the mean over
all tokens plus the mean over the answers' tokens. Muon (Jordan et al. 2024), which here needs a fraction of AdamW's
steps, trains the matrices, and AdamW embeddings and norms. The learning rate warms up and decays linearly.

There are three parts: language and look-up, then varied wording, then the comparison of finding and question. Each
starts from the result of the one before it, rounded to bfloat16, with new optimizers.
"""

import copy
import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from common.cpu import bfloat16_is_faster
from common.errors import UserError
from common.logs import no_bars
from tools.tiny.batches import Batch, Curriculum, steps
from tools.tiny.mixtures import Stage
from tools.tiny.readings import Readings
from tools.tiny.tokenizer import train_tokenizer

STATE = "state.pt"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the training.

    Attributes:
        stage: the mixture of readings.
        steps: number of steps.
        learning_rate: peak learning rate.
        decay_share: share of the steps, at the end, over which the rate falls to 0.
        planned: number of steps after which the rate would be 0, if the part ends earlier.
    """

    stage: Stage
    steps: int
    learning_rate: float
    decay_share: float
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class TinyRecipe:
    """Everything that determines the result, except code, number of threads and processor."""

    parts: tuple[Part, ...] = (
        Part("first", 3000, 3e-3, 0.6),
        Part("second", 1500, 1.5e-3, 0.7, planned=2500),
        Part("third", 1000, 1e-3, 0.8, planned=1200),
    )
    seed: int = 1
    tokens_per_step: int = 3840
    embedding_rate_share: float = 0.33  # of the learning rate; at 1 the answers' prior swings from step to step
    warmup_steps: int = 100
    easy_steps: int = 900
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    tokenizer_readings: int = 4000
    vocabulary: int = 2048
    window: int = 1024
    width: int = 256
    layers: int = 6
    heads: int = 4
    feed_forward: int = 704

    @property
    def steps(self) -> int:
        """The steps of all parts."""
        return sum(part.steps for part in self.parts)

    def part(self, step: int) -> tuple[int, int]:
        """The number of the part in which ``step`` lies, from 0, and the step at which that part begins."""
        first = 0
        for number, part in enumerate(self.parts):
            if step < first + part.steps:
                return number, first
            first += part.steps
        raise ValueError(f"step {step} of {self.steps}")

    def rate(self, step: int) -> float:
        """The learning rate of ``step``, counted from 0 over all parts."""
        number, first = self.part(step)
        part = self.parts[number]
        steps = part.planned or part.steps
        warm = min(1.0, (step - first + 1) / self.warmup_steps)
        left = (steps - (step - first)) / (steps * part.decay_share)
        return part.learning_rate * min(warm, max(0.0, min(1.0, left)))

    def easiness(self, step: int) -> float:
        """The easiness of the readings at ``step``, which falls from 1 to 0 over the easy steps."""
        return max(0.0, 1 - step / self.easy_steps)


def build_model(recipe: TinyRecipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The untrained model in fp32."""
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        intermediate_size=recipe.feed_forward,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.window,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    AttentionInterface.register("short_rows", _attention)
    model.set_attn_implementation("short_rows")
    return model


def _attention(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Attention by matrix products, for tensors of rows x heads x length x size.

    On a CPU the backward pass of fused attention takes several times as long for rows of a few hundred tokens.
    """
    query, key = (query * scaling).to(value.dtype), key.to(value.dtype)
    with torch.autocast("cpu", enabled=False):
        scores = torch.matmul(query, key.transpose(-1, -2)) + attention_mask.to(value.dtype)
        return torch.matmul(torch.softmax(scores, -1), value).transpose(1, 2).contiguous(), None


def loss_of(model: LlamaForCausalLM, batch: Batch, tokens: float, answers: float) -> tuple[torch.Tensor, float]:
    """A batch's part of its step's loss, and for the log the weighted sum of its answers' cross-entropy in nats.

    ``tokens`` is the step's number of targets, ``answers`` the sum of its answers' weights.
    """
    hidden = model.model(
        input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    predictors = torch.gather(hidden, 1, batch.predictor_index[..., None].expand_as(hidden))
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(predictors[batch.is_target]).float(), batch.ids[batch.is_target], reduction="none"
    )
    of_answers = (losses * batch.answer_weights[batch.is_target]).sum()
    return 0.5 * losses.sum() / tokens + of_answers / answers, of_answers.item()


def train_tiny(output: Path, recipe: TinyRecipe | None = None, *, save_every: int = 250, quiet: bool = False) -> Path:
    """Train the model and save it in bfloat16, with its tokenizer and ``training.json``, in ``output``.

    ``output/checkpoint-N`` is the model at step N. An interrupted run resumes from its last saved step and ends as it
    would have without the interruption; the text up to there is drawn again, which takes about a minute.

    Raises:
        UserError: ``output`` cannot be written, or holds a run of another recipe.
    """
    recipe = recipe or TinyRecipe()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{output} cannot be created ({error.strerror}). Choose another folder with --output."
        ) from error
    tokenizer = train_tokenizer(recipe.seed, recipe.vocabulary, recipe.tokenizer_readings, recipe.window)
    model = build_model(recipe, tokenizer)
    optimizers = _optimizers(model, recipe)
    first, seen, seconds = _resume(output, recipe, model, optimizers)
    curriculum = Curriculum()
    stream: Iterator[list[Batch]] | None = None
    recent: deque[float] = deque(maxlen=100)
    bfloat16 = bfloat16_is_faster()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=quiet) as progress:
        task = progress.add_task("medground-tiny", total=recipe.steps, completed=first)
        model.train()
        for step in range(first, recipe.steps):
            begins = recipe.part(step)[1]
            if step == begins and step:
                _store_in_bfloat16(model)
                optimizers = _optimizers(model, recipe)
            if stream is None or step == begins:
                stream = _stream(recipe, tokenizer, curriculum, step)
            curriculum.easiness = recipe.easiness(step)
            batches = next(stream)
            started = time.monotonic()
            for optimizer, share in zip(optimizers, (1.0, recipe.embedding_rate_share), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = share * recipe.rate(step)
            tokens = sum(int(batch.is_target.sum()) for batch in batches)
            answers = sum(float(batch.answer_weights[batch.is_target].sum()) for batch in batches)
            of_answers = 0.0
            for batch in batches:
                with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                    loss, nats = loss_of(model, batch, tokens, answers)
                loss.backward()  # type: ignore[no-untyped-call]
                of_answers += nats
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            seen += tokens
            seconds += time.monotonic() - started
            recent.append(of_answers / answers)
            progress.update(task, advance=1, description=f"answer loss {sum(recent) / len(recent):.3f}")
            if (step + 1) % save_every == 0 or step + 1 == recipe.steps or recipe.part(step + 1)[1] == step + 1:
                state = {"recipe": asdict(recipe), "step": step + 1, "seen": seen, "seconds": seconds}
                _save_state(output, model, optimizers, **state)
                save(model, tokenizer, output / f"checkpoint-{step + 1}")
    save(model, tokenizer, output)
    summary = {"recipe": asdict(recipe), "tokens": seen, "seconds": round(seconds, 1), "torch": torch.__version__}
    (output / "training.json").write_text(json.dumps(summary, indent=1) + "\n")
    (output / STATE).unlink(missing_ok=True)
    return output


def _stream(
    recipe: TinyRecipe, tokenizer: PreTrainedTokenizerFast, curriculum: Curriculum, step: int
) -> Iterator[list[Batch]]:
    """The steps of the part that contains ``step``, from ``step`` on; earlier ones are drawn and dropped."""
    number, first = recipe.part(step)
    readings = Readings(recipe.seed + 1 + number, recipe.parts[number].stage)
    stream = steps(readings, tokenizer, recipe.tokens_per_step, recipe.window, curriculum)
    for earlier in range(first, step):
        curriculum.easiness = recipe.easiness(earlier)
        next(stream)
    return stream


def _store_in_bfloat16(model: LlamaForCausalLM) -> None:
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(value.bfloat16())


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save the model in bfloat16 and its tokenizer in the format of transformers."""
    with no_bars():
        copy.deepcopy(model).bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _optimizers(model: LlamaForCausalLM, recipe: TinyRecipe) -> list[torch.optim.Optimizer]:
    if not hasattr(torch.optim, "Muon"):
        raise UserError(
            f"Training needs torch 2.9 or newer for its optimizer Muon; this is torch {torch.__version__}. Upgrade it."
        )
    matrices = [value for value in model.model.layers.parameters() if value.dim() == 2]
    of_layers = {id(value) for value in matrices}
    others = [value for value in model.parameters() if id(value) not in of_layers]
    muon = torch.optim.Muon(
        matrices, lr=recipe.parts[0].learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(
        others, lr=recipe.parts[0].learning_rate, betas=recipe.betas, weight_decay=0.0, fused=True
    )
    return [muon, adamw]


def _save_state(
    output: Path, model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer], **progress: object
) -> None:
    states = [optimizer.state_dict() for optimizer in optimizers]
    partial = output / f"{STATE}.part"
    torch.save({"model": model.state_dict(), "optimizers": states, **progress}, partial)
    partial.replace(output / STATE)


def _resume(
    output: Path, recipe: TinyRecipe, model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer]
) -> tuple[int, int, float]:
    path = output / STATE
    if not path.is_file():
        return 0, 0, 0.0
    state = torch.load(path, weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise UserError(
            f"{path} is of a run with another recipe. Remove {output}, or choose another folder with --output."
        )
    model.load_state_dict(state["model"])
    for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
    return int(state["step"]), int(state["seen"]), float(state["seconds"])
