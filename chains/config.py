"""The settings sections ``llm``, ``prompt``, ``nli``, ``chain``, ``check``, ``chat`` and ``agent``."""

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from common.errors import UserError
from common.hub import ModelSource
from retrievers.config import Count, Section, Share

DType = Literal["auto", "float32", "bfloat16", "float16"]
Family = Literal["auto", "gemma", "llama2", "generic"]
Context = Literal["retrieved", "gold", "none"]
Decide = Literal["score", "generate"]
Evidence = Literal["passages", "summaries"]
Verify = Literal["off", "report", "retry", "abstain", "prune"]
_BARE_OFF = BeforeValidator(lambda value: "off" if value is False else value)  # YAML reads a bare ``off`` as false


def check_choices(**arguments: tuple[str, Any]) -> None:
    """Raise ``UserError`` if a value is outside its ``Literal``; each argument is a pair ``(value, literal)``."""
    for name, (value, literal) in arguments.items():
        if value not in (choices := get_args(literal)):
            raise UserError(f"{name} must be one of {', '.join(choices)}; this is {value!r}.")


# For each setting of ``LLMConfig`` that has no effect with some kinds: the kinds with which it has an effect.
# ``concurrency`` and ``batch_tokens`` are left out, so every kind accepts them, since they change no result.
_KINDS_WITH_SETTING: dict[str, tuple[str, ...]] = {
    "base_url": ("openai",),
    "window": ("openai", "llamacpp"),
    "threads": ("llamacpp",),
    "gpu_layers": ("llamacpp",),
    "gguf_file": ("huggingface", "llamacpp"),
    **dict.fromkeys(
        ("dtype", "quantization", "double_quant", "adapter", "merge_adapter", "device_map"), ("huggingface",)
    ),
}
# By kind: why it has no use for settings that are for huggingface only. A message has this text after the kind.
_NO_EFFECT_REASONS = {
    "llamacpp": ", whose GGUF file has its own number format and any adapter merged into its weights",
    "openai": ", whose server loads the model and its adapters",
}


class LLMConfig(Section):
    """The language model that answers."""

    kind: Literal["huggingface", "llamacpp", "openai", "extractive"] = Field(
        default="huggingface",
        description=(
            "Engine that runs the model. huggingface: transformers; llamacpp: llama.cpp in this process, from a GGUF"
            " file, which writes faster on a CPU (extra llamacpp); openai: on a server that speaks OpenAI's"
            " protocol (vLLM, TGI, llama.cpp, Ollama); extractive: no model, answers are quotes."
        ),
    )
    model: ModelSource = Field(
        default="embedded",
        min_length=1,
        description=(
            "Model: embedded (medground-tiny), a name from `medground models list`, a hub id, a folder or a GGUF file. "
            "For a server, the model's name there."
        ),
    )
    gguf_file: str | None = Field(
        default=None, min_length=1, description="GGUF file within the hub repository or folder that model names."
    )
    base_url: str | None = Field(
        default=None,
        description=(
            "URL of the server, such as http://localhost:8000/v1. Questions and texts are sent there. Its"
            " key is read from the environment variable MEDGROUND_LLM_KEY."
        ),
    )
    window: Count | None = Field(
        default=None,
        description=(
            "Context window in tokens, of kind openai or llamacpp. null: the window that the server reports; for"
            " llamacpp, the model's, at most 8192, since memory is reserved for it."
        ),
    )
    concurrency: Count = Field(default=8, description="Maximum number of requests to a server at the same time.")
    threads: Count | None = Field(
        default=None, description="Threads of kind llamacpp; null for one on each of the processor's cores."
    )
    gpu_layers: int | None = Field(
        default=None,
        ge=0,
        strict=True,
        description=(
            "Layers of kind llamacpp on the graphics card, which needs a build of xllamacpp with GPU support; null for "
            "as many as fit."
        ),
    )
    dtype: DType = Field(
        default="auto",
        description=(
            "Data type of the weights. auto: bfloat16 where the processor is faster in it, else float16 "
            "on a card and float32 on a CPU; with 8bit it is float16."
        ),
    )
    quantization: Literal["none", "8bit", "4bit"] = Field(
        default="none", description="Quantization by bitsandbytes. 4bit: NF4; 8bit: LLM.int8()."
    )
    double_quant: bool = Field(
        default=False, description="With 4bit, quantize the quantization constants too, which saves 0.4 bits a weight."
    )
    adapter: ModelSource | None = Field(
        default=None, min_length=1, description="Folder or hub id of a PEFT adapter for this model."
    )
    merge_adapter: bool = Field(
        default=False,
        description="Merge the adapter into the weights instead of attaching it. Not with a quantized model.",
    )
    device_map: str = Field(default="auto", min_length=1, description="Device: auto, cpu, cuda:1 and the like.")
    max_new_tokens: Count = Field(default=8, description="Maximum number of generated tokens. Scored labels need none.")
    batch_tokens: Count = Field(
        default=4096, description="Prompt tokens in one pass through the model, including padding."
    )
    system: str | None = Field(default=None, description="System message before every prompt; null for none.")

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        """Refuse settings that have no effect on models of this ``kind``.

        ``extractive`` accepts and ignores the settings of ``huggingface``, so that a settings file can switch to it.
        """
        for name, kinds in _KINDS_WITH_SETTING.items():
            default = type(self).model_fields[name].default
            is_ignored = self.kind == "extractive" and "huggingface" in kinds
            if self.kind not in kinds and not is_ignored and getattr(self, name) != default:
                reason = _NO_EFFECT_REASONS.get(self.kind, "") if kinds == ("huggingface",) else ""
                raise ValueError(
                    f"{name} is for kind {' or '.join(kinds)}, and the kind is {self.kind}{reason}; set it to "
                    f"{'null' if default is None else str(default).lower()}"
                )
        if self.kind == "llamacpp" and self.model == "embedded":
            raise ValueError("kind llamacpp needs model, a GGUF file or the name of a known model such as smollm2")
        if self.kind != "openai":
            return self
        if self.base_url is None or not re.fullmatch(r"https?://[^\s/@]+(/[^\s@]*)?", self.base_url):
            raise ValueError(
                f"kind openai needs base_url, such as http://localhost:8000/v1, and it is {self.base_url!r}; a key "
                "goes into the environment variable MEDGROUND_LLM_KEY"
            )
        if self.model == "embedded":
            raise ValueError("kind openai needs model, the name that the server serves it by")
        return self


class PromptConfig(Section):
    """The wording of prompts."""

    family: Family = Field(default="auto", description="Model family whose wording is used. auto: that of the model.")
    shots: int = Field(
        default=0,
        ge=0,
        strict=True,
        description="Number of training pairs of each label in the prompt for nli.",
    )


class NLIConfig(Section):
    """The model that judges whether a statement follows from a text. It verifies answers too."""

    kind: Literal["llm", "encoder"] = Field(
        default="llm", description="llm: the model of section llm; encoder: a sequence classifier."
    )
    model: ModelSource | None = Field(default=None, min_length=1, description="Folder or hub id of the encoder.")
    adapter: ModelSource | None = Field(
        default=None,
        min_length=1,
        description=(
            "Of kind llm: folder or hub id of a PEFT adapter that is on while pairs are judged and off "
            "while questions are answered; null judges with the model of section llm as it is."
        ),
    )
    temperature: float = Field(
        default=1,
        gt=0,
        description=(
            "Temperature of the probabilities (Guo et al. 2017): logits are divided by it, so above 1 the model is "
            "less sure. `eval nli` prints the best one for its pairs; choose it on dev pairs."
        ),
    )


class ChainConfig(Section):
    """How a question becomes an answer."""

    context: Context = Field(
        default="retrieved",
        description="Text that the model reads: retrieved passages, the gold text given with the question, or no text.",
    )
    decide: Decide = Field(
        default="score",
        description=(
            "How the label is chosen. score: the most probable label; generate: the label that the "
            "generated text names."
        ),
    )
    passages: Count = Field(default=1, description="Number of retrieved passages in the prompt.")
    evidence: Evidence = Field(
        default="passages",
        description=(
            "Part of the retrieved passages that the model reads. passages: their text; summaries: the llm first "
            "condenses each passage to its statements on the question, and leaves out irrelevant passages."
        ),
    )
    max_sentences: Count = Field(default=3, description="Maximum number of sentences that an extractive answer quotes.")
    quote_embedder: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Embedder of section embedders that ranks the sentences of extractive answers; null for that of the "
            "retriever."
        ),
    )
    quote_cross_encoder: ModelSource | None = Field(
        default=None,
        min_length=1,
        description=(
            "Cross-encoder or sequence classifier (hub id or folder) that reads the question with each sentence and "
            "ranks those of extractive answers together with embedder and words; null for none."
        ),
    )
    verify: Annotated[Verify, _BARE_OFF] = Field(
        default="off",
        description=(
            "Verification of answers by the nli model. off: none; report: the answer and each of its sentences have "
            "a verdict; retry: an unsupported answer is tried again with more passages; abstain: an unsupported "
            "answer is withheld; prune: unsupported sentences are removed, and an answer without any other is withheld."
        ),
    )


class CheckConfig(Section):
    """How a statement is checked."""

    passages: Count = Field(default=5, description="Number of passages retrieved for a statement.")
    sentences: Count = Field(
        default=12,
        description=(
            "Number of sentences of the passages that are judged: those nearest to the statement, each alone and with "
            "the sentences beside it."
        ),
    )
    threshold: Share = Field(
        default=0.5, description="Minimum probability with which a sentence supports or contradicts a statement."
    )


class ChatConfig(Section):
    """Conversations."""

    path: str = Field(
        default=".medground/conversations.sqlite3", min_length=1, description="SQLite file of the conversations."
    )
    user: str = Field(default="local", min_length=1, description="Owner of the conversations in the terminal.")
    rewrite: Annotated[Literal["auto", "rules", "llm", "off"], _BARE_OFF] = Field(
        default="auto",
        description=(
            "Method that makes a follow-up question self-contained: rules of English, the llm, or none (off)."
            " auto: the llm where a model other than the embedded one is set, else rules."
        ),
    )
    answers: Literal["auto", "brief", "written"] = Field(
        default="auto",
        description=(
            "Form of the answers of ask, chat and serve. brief: label and quotes; written: sentences that the model "
            "writes from the passages; auto: written where a model other than the embedded one is set, else brief."
        ),
    )
    max_new_tokens: Count = Field(default=256, description="Maximum number of tokens in a written answer.")
    history_tokens: Count = Field(
        default=1024, description="Tokens of the conversation in a prompt, at most a quarter of the model's window."
    )


class AgentConfig(Section):
    """An agent that searches, grades the passages, and abstains without evidence."""

    kind: Annotated[Literal["off", "graph", "tools"], _BARE_OFF] = Field(
        default="off",
        description=(
            "off: the chain answers; graph: fixed steps, with any model; tools: a model that can call "
            "tools chooses the steps."
        ),
    )
    passages: Count = Field(default=4, description="Passages that a search returns.")
    relevance: Share = Field(
        default=0.4,
        description=(
            "Share of the question's words, weighted by rarity, from which a passage counts as evidence. "
            "A passage that settles the question needs half of it."
        ),
    )
    confidence: Share = Field(
        default=0.5,
        description=(
            "Minimum probability of an answer: that of the label, times that of the verdict where answers are verified."
        ),
    )
    rewrites: int = Field(
        default=2, ge=0, strict=True, description="Maximum number of rewritten queries where evidence is missing."
    )
    max_steps: Count = Field(
        default=16, description="Maximum number of steps: searches, gradings, answers, tool calls."
    )
    max_tokens: Count = Field(
        default=16384, description="Maximum number of tokens that a model that calls tools reads and writes."
    )
    max_seconds: float = Field(
        default=120, gt=0, description="Time limit in seconds. A step that has begun is finished."
    )
    trace: str | None = Field(default=None, min_length=1, description="JSONL file to which every step is appended.")
