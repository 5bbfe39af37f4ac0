"""Shared parts of the benchmarks. Import it before the model libraries: it turns their telemetry off."""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

CONFIGS = Path(__file__).parents[1] / "configs"
NEAR_TIE = 1e-4  # difference of the two best log-likelihoods below which a prediction may differ


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the option ``--output``."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--output", type=Path, help="JSON file for the figures")
    return made


def run(main: Callable[[], None]) -> None:
    """Run a benchmark; a ``UserError`` ends it with its message."""
    try:
        main()
    except UserError as error:
        sys.exit(str(error))


def write_report(path: Path | None, report: dict[str, Any]) -> None:
    """Write the figures with processor, threads and versions, if ``path`` is set."""
    if path is None:
        return
    from eval.results import versions, write_json

    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**report, "machine": machine, "threads": threads(), "versions": versions()})


def threads() -> int | None:
    """The number of torch's threads, if torch is imported."""
    torch = sys.modules.get("torch")
    return None if torch is None else torch.get_num_threads()


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """The spread of the rounds' ratios."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def shown(of: dict[str, float]) -> str:
    """A spread as text."""
    return f"{of['median']:.2f} ({of['least']:.2f} to {of['greatest']:.2f})"


def child(*arguments: str) -> dict[str, Any]:
    """Run this script in a process of its own; the result is the JSON in its last line of stdout.

    Raises:
        UserError: the process failed.
    """
    command = [sys.executable, sys.argv[0], *arguments]
    outcome = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if outcome.returncode:
        raise UserError(f"{' '.join(arguments)} ended with status {outcome.returncode}; its message is above.")
    found: dict[str, Any] = json.loads(outcome.stdout.splitlines()[-1])
    return found


def peak_mb() -> float:
    """Peak memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage may return the memory of the parent process here
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def save_random_model(folder: Path, config: "PretrainedConfig") -> int:
    """Save a model of random weights with medground-tiny's tokenizer and return its number of parameters."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from chains.models.local import EMBEDDED

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    config.vocab_size = max(config.vocab_size, len(tokenizer))
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, getattr(tokenizer, name))
    torch.manual_seed(7)
    model: Any = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return int(model.num_parameters())


def random_llama(*, width: int, feed_forward: int, layers: int, window: int, scale: float = 0.02) -> Any:
    """The configuration of a Llama with heads of 64 numbers; ``scale`` is the weights' standard deviation."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=256,  # raised to the tokenizer's
        hidden_size=width,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        max_position_embeddings=window,
        initializer_range=scale,
        tie_word_embeddings=True,
    )
