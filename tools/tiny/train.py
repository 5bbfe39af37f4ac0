"""The recipe of medground-tiny: ``make tiny``, or ``python -m tools.tiny --output DIR``.

A Llama of 5.3 M parameters, trained from scratch on generated readings, each used once. The loss is half the mean over
all tokens plus the weighted mean over the answers' tokens. Muon (Jordan et al. 2024), which here needs a fraction of
AdamW's steps, trains the matrices; AdamW trains embeddings and norms. The learning rate warms up and decays linearly.

There are three parts: language and look-up, then varied wording, then the comparison of finding and question. Each
starts from the result of the previous part, rounded to bfloat16, with new optimizers.
"""

import copy
import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from common.cpu import bfloat16_is_faster
from common.errors import UserError
from common.logs import no_bars
from tools.tiny.batches import Batch, Curriculum, draw_steps
from tools.tiny.mixtures import Stage
from tools.tiny.readings import Readings
from tools.tiny.tokenizer import train_tokenizer

STATE_FILE = "state.pt"  # of an unfinished run


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the training.

    Attributes:
        stage: the mixture of readings.
        steps: number of steps.
        learning_rate: peak learning rate.
        decay_share: share of the steps, at the end, over which the rate falls to 0.
        planned: number of steps of the learning rate schedule, if the part ends before the rate is 0.
    """

    stage: Stage
    steps: int
    learning_rate: float
    decay_share: float
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class TinyRecipe:
    """All settings of the training."""

    parts: tuple[Part, ...] = (
        Part("first", 3000, 3e-3, 0.6),
        Part("second", 1500, 1.5e-3, 0.7, planned=2500),
        Part("third", 1000, 1e-3, 0.8, planned=1200),
    )
    seed: int = 1
    tokens_per_step: int = 3840
    embedding_rate_share: float = 0.33  # of the learning rate; at 1 the predicted label shares swing from step to step
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
        """The index of the part that has ``step``, and the first step of this part."""
        first = 0
        for index, part in enumerate(self.parts):
            if step < first + part.steps:
                return index, first
            first += part.steps
        raise ValueError(f"step {step} of {self.steps}")

    def rate(self, step: int) -> float:
        """The learning rate of ``step``, counted from 0 over all parts."""
        index, first = self.part(step)
        part = self.parts[index]
        steps = part.planned or part.steps
        warmup = min(1.0, (step - first + 1) / self.warmup_steps)
        decay = (steps - (step - first)) / (steps * part.decay_share)
        return part.learning_rate * min(warmup, max(0.0, min(1.0, decay)))

    def easiness(self, step: int) -> float:
        """The easiness of the readings at ``step``, which falls from 1 to 0 in the first ``easy_steps`` steps."""
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
    """Attention by matrix products, for tensors of shape (rows, heads, length, head size).

    For rows of a few hundred tokens on a CPU, the backward pass of fused attention takes several times as long.
    """
    query, key = (query * scaling).to(value.dtype), key.to(value.dtype)
    with torch.autocast("cpu", enabled=False):
        scores = torch.matmul(query, key.transpose(-1, -2)) + attention_mask.to(value.dtype)
        return torch.matmul(torch.softmax(scores, -1), value).transpose(1, 2).contiguous(), None


def compute_loss(model: LlamaForCausalLM, batch: Batch, tokens: float, answers: float) -> tuple[torch.Tensor, float]:
    """The loss of a batch as a summand of the step's loss, and the weighted sum of the answers' cross-entropy (nats).

    ``tokens`` is the number of targets in the step, ``answers`` the sum of the answer weights in the step.
    """
    hidden = model.model(
        input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    predictors = torch.gather(hidden, 1, batch.predictor_index[..., None].expand_as(hidden))
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(predictors[batch.is_target]).float(), batch.ids[batch.is_target], reduction="none"
    )
    answer_loss = (losses * batch.answer_weights[batch.is_target]).sum()
    return 0.5 * losses.sum() / tokens + answer_loss / answers, answer_loss.item()


def train_tiny(output: Path, recipe: TinyRecipe | None = None, *, save_every: int = 250, quiet: bool = False) -> Path:
    """Train the model and save it in bfloat16, with its tokenizer and ``training.json``, in ``output``.

    ``output/checkpoint-N`` is the model at step N. An interrupted run resumes from its last saved step, with the same
    result as an uninterrupted run. Resuming draws the text of the earlier steps again, which takes about a minute.

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
    first, tokens_seen, seconds = _resume(output, recipe, model, optimizers)
    curriculum = Curriculum()
    stream: Iterator[list[Batch]] | None = None
    recent_losses: deque[float] = deque(maxlen=100)
    bfloat16 = bfloat16_is_faster()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=quiet) as progress:
        task = progress.add_task("medground-tiny", total=recipe.steps, completed=first)
        model.train()
        for step in range(first, recipe.steps):
            begins_part = step == recipe.part(step)[1]
            if begins_part and step:
                _round_to_bfloat16(model)
                optimizers = _optimizers(model, recipe)
            if stream is None or begins_part:
                stream = _stream(recipe, tokenizer, curriculum, step)
            curriculum.easiness = recipe.easiness(step)
            batches = next(stream)
            started = time.monotonic()
            for optimizer, share in zip(optimizers, (1.0, recipe.embedding_rate_share), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = share * recipe.rate(step)
            tokens = sum(int(batch.is_target.sum()) for batch in batches)
            answers = sum(float(batch.answer_weights[batch.is_target].sum()) for batch in batches)
            answer_loss = 0.0
            for batch in batches:
                with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                    loss, batch_answer_loss = compute_loss(model, batch, tokens, answers)
                loss.backward()  # type: ignore[no-untyped-call]
                answer_loss += batch_answer_loss
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            tokens_seen += tokens
            seconds += time.monotonic() - started
            recent_losses.append(answer_loss / answers)
            progress.update(task, advance=1, description=f"answer loss {mean(recent_losses):.3f}")
            done = step + 1
            if done % save_every == 0 or done == recipe.steps or recipe.part(done)[1] == done:
                state = {"recipe": asdict(recipe), "step": done, "tokens_seen": tokens_seen, "seconds": seconds}
                _save_state(output, model, optimizers, **state)
                save(model, tokenizer, output / f"checkpoint-{done}")
    save(model, tokenizer, output)
    summary = {
        "recipe": asdict(recipe),
        "tokens": tokens_seen,
        "seconds": round(seconds, 1),
        "torch": torch.__version__,
    }
    (output / "training.json").write_text(json.dumps(summary, indent=1) + "\n")
    (output / STATE_FILE).unlink(missing_ok=True)
    return output


def _stream(
    recipe: TinyRecipe, tokenizer: PreTrainedTokenizerFast, curriculum: Curriculum, step: int
) -> Iterator[list[Batch]]:
    """The batches of the part that has ``step``, from ``step`` on; batches of earlier steps are drawn and dropped."""
    index, first = recipe.part(step)
    readings = Readings(recipe.seed + 1 + index, recipe.parts[index].stage)
    stream = draw_steps(readings, tokenizer, recipe.tokens_per_step, recipe.window, curriculum)
    for earlier in range(first, step):
        curriculum.easiness = recipe.easiness(earlier)
        next(stream)
    return stream


def _round_to_bfloat16(model: LlamaForCausalLM) -> None:
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(weights.bfloat16())


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
    matrices = [weights for weights in model.model.layers.parameters() if weights.dim() == 2]
    matrix_ids = set(map(id, matrices))
    embeddings_and_norms = [weights for weights in model.parameters() if id(weights) not in matrix_ids]
    muon = torch.optim.Muon(
        matrices, lr=recipe.parts[0].learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(
        embeddings_and_norms, lr=recipe.parts[0].learning_rate, betas=recipe.betas, weight_decay=0.0, fused=True
    )
    return [muon, adamw]


def _save_state(
    output: Path, model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer], **progress: object
) -> None:
    states = [optimizer.state_dict() for optimizer in optimizers]
    partial = output / f"{STATE_FILE}.part"
    torch.save({"model": model.state_dict(), "optimizers": states, **progress}, partial)
    partial.replace(output / STATE_FILE)


def _resume(
    output: Path, recipe: TinyRecipe, model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer]
) -> tuple[int, int, float]:
    """Restore the state of an unfinished run, and return its next step, its tokens and its seconds of training."""
    path = output / STATE_FILE
    if not path.is_file():
        return 0, 0, 0.0
    state = torch.load(path, weights_only=True)
    if state["recipe"] != asdict(recipe):
        raise UserError(
            f"{path} is of a run with another recipe. Remove {output}, or choose another folder with --output."
        )
    model.load_state_dict(state["model"])
    for optimizer, stored in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(stored)
    return int(state["step"]), int(state["tokens_seen"]), float(state["seconds"])
