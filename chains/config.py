"""The settings sections ``llm``, ``prompt``, ``nli``, ``chain``, ``chat`` and ``agent``."""

import re
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.errors import UserError

DType = Literal["auto", "float32", "bfloat16", "float16"]
Family = Literal["auto", "gemma", "llama2", "generic"]
Context = Literal["retrieved", "gold", "none"]
Decide = Literal["score", "generate"]
Verify = Literal["off", "report", "retry", "abstain"]


def check_choices(**given: tuple[str, Any]) -> None:
    """See to it that each argument of a chain made by hand is one of its ``Literal``'s words.

    Raises:
        UserError: naming the argument, the value and the words.
    """
    for name, (value, kind) in given.items():
        if value not in (words := get_args(kind)):
            raise UserError(f"{name} must be one of {', '.join(words)}; this is {value!r}.")


class LLMConfig(BaseModel):
    """The language model that answers.

    Attributes:
        kind: ``huggingface`` loads a causal model on this machine; ``openai`` asks a server that speaks OpenAI's
            protocol (vLLM, TGI, llama.cpp, Ollama); ``extractive`` answers with quotes, without a model.
        model: ``embedded`` (medground-tiny), a hub id or a folder; of a server, the name that it serves the model by.
        base_url: of a server, with its ``/v1``. Questions and texts are sent there. A key is read from the environment
            variable MEDGROUND_LLM_KEY.
        window: of a server's model, how many tokens it takes; what the server says when null.
        concurrency: how many requests a server is sent at once.
        dtype: ``auto`` is bfloat16 where the processor is faster in it, else float16 on a card, float32 on a CPU;
            with ``8bit`` it is float16.
        quantization: ``4bit`` is NF4, ``8bit`` is LLM.int8(), both through bitsandbytes.
        double_quant: with ``4bit``, quantise the quantisation constants too (0.4 bits less a weight).
        adapter: folder or hub id of a PEFT adapter made for this model.
        merge_adapter: fold the adapter into the weights (not with a quantised model) instead of attaching it.
        device_map: ``auto``, or one device for the whole model, such as ``cpu`` or ``cuda:1``.
        max_new_tokens: how much is generated at most; scored labels need none of it.
        batch_tokens: how many prompt tokens, padding included, go through the model at once.
        system: a system text before every prompt; no text when null.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["huggingface", "openai", "extractive"] = "huggingface"
    model: str = Field(default="embedded", min_length=1)
    base_url: str | None = None
    window: int | None = Field(default=None, ge=1, strict=True)
    concurrency: int = Field(default=8, ge=1, strict=True)
    dtype: DType = "auto"
    quantization: Literal["none", "8bit", "4bit"] = "none"
    double_quant: bool = False
    adapter: str | None = Field(default=None, min_length=1)
    merge_adapter: bool = False
    device_map: str = Field(default="auto", min_length=1)
    max_new_tokens: int = Field(default=8, ge=1, strict=True)
    batch_tokens: int = Field(default=4096, ge=1, strict=True)
    system: str | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if self.kind != "openai":
            for name in ("base_url", "window"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for kind openai, and the kind is {self.kind}; set it to null")
            return self
        if self.base_url is None or not re.fullmatch(r"https?://[^\s/@]+(/[^\s@]*)?", self.base_url):
            raise ValueError(
                f"kind openai needs base_url, such as http://localhost:8000/v1, and it is {self.base_url!r}; a key "
                "goes into the environment variable MEDGROUND_LLM_KEY"
            )
        if self.model == "embedded":
            raise ValueError("kind openai needs model, the name that the server serves it by")
        if self.adapter is not None:
            raise ValueError("adapter is for kind huggingface; a server is told of its adapters when it is started")
        return self


class PromptConfig(BaseModel):
    """The wording of the prompts.

    Attributes:
        family: whose wording it is; ``auto`` picks the family that the model belongs to.
        shots: how many training pairs of each label are shown before the pair that an ``nli`` model judges.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Family = "auto"
    shots: int = Field(default=0, ge=0, strict=True)


class NLIConfig(BaseModel):
    """The model that judges whether a statement follows from a text; it verifies answers too.

    Attributes:
        kind: ``llm`` is the causal model of section ``llm``, ``encoder`` a sequence classifier.
        model: of ``encoder``, a folder or hub id; null is an error then.
        adapter: of ``llm``, folder or hub id of a PEFT adapter that is on while pairs are judged and off while
            questions are answered; null judges with the model as section ``llm`` loads it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["llm", "encoder"] = "llm"
    model: str | None = Field(default=None, min_length=1)
    adapter: str | None = Field(default=None, min_length=1)


class ChainConfig(BaseModel):
    """How a question becomes an answer.

    Attributes:
        context: what the model reads: ``retrieved`` passages, the ``gold`` text given with the question, or ``none``.
        decide: ``score`` takes the most probable label, ``generate`` reads the label out of generated text.
        passages: how many retrieved passages the answer may use.
        max_sentences: how many evidence sentences an extractive answer quotes.
        verify: what the ``nli`` model's check of an answer against its passages does: ``off``: no check; ``report``:
            the verdict is told; ``retry``: an unsupported answer is tried again with more passages; ``abstain``: an
            unsupported answer is withheld.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    context: Context = "retrieved"
    decide: Decide = "score"
    passages: int = Field(default=1, ge=1, strict=True)
    max_sentences: int = Field(default=3, ge=1, strict=True)
    verify: Verify = "off"

    @field_validator("verify", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value  # YAML reads a bare ``off`` as false


class ChatConfig(BaseModel):
    """A conversation over the chain.

    Attributes:
        path: the SQLite file in which conversations are kept.
        user: whose conversations those in the terminal are.
        rewrite: who makes a follow-up question self-contained: ``rules`` of English, the ``llm``, or nobody (``off``);
            ``auto`` is the llm where a model other than the embedded one is set, else rules.
        answers: ``brief`` tells the label and the quotes, ``written`` lets the model write sentences from the passages;
            ``auto`` is written where a model other than the embedded one is set, else brief.
        max_new_tokens: how long a written answer may be.
        history_tokens: how many tokens of the conversation the model is shown; at most a quarter of its window.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(default=".medground/conversations.sqlite3", min_length=1)
    user: str = Field(default="local", min_length=1)
    rewrite: Literal["auto", "rules", "llm", "off"] = "auto"
    answers: Literal["auto", "brief", "written"] = "auto"
    max_new_tokens: int = Field(default=256, ge=1, strict=True)
    history_tokens: int = Field(default=1024, ge=1, strict=True)

    @field_validator("rewrite", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value


class AgentConfig(BaseModel):
    """An agent that searches, grades what it found, and withholds an answer without evidence.

    Attributes:
        kind: ``off`` answers by the chain; ``graph`` runs fixed steps with any model; ``tools`` lets a model that can
            call tools choose its steps.
        passages: how many passages a search brings.
        relevance: from which share of the question's words, rare ones weighing more, a passage counts as evidence; one
            that decides the question counts at half of it.
        confidence: from which probability an answer is given: the product of the label's own and, where answers are
            judged, of the verdict's.
        rewrites: how often the question is put in other words where evidence is missing.
        max_steps: after how many steps (searches, gradings, answers, tool calls) the agent stops.
        max_tokens: how many tokens may be written by, and shown to, a model that calls tools.
        max_seconds: after how long it stops; a step that has begun is finished.
        trace: a JSONL file that every step is added to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["off", "graph", "tools"] = "off"
    passages: int = Field(default=4, ge=1, strict=True)
    relevance: float = Field(default=0.4, ge=0, le=1)
    confidence: float = Field(default=0.5, ge=0, le=1)
    rewrites: int = Field(default=2, ge=0, strict=True)
    max_steps: int = Field(default=16, ge=1, strict=True)
    max_tokens: int = Field(default=16384, ge=1, strict=True)
    max_seconds: float = Field(default=120, gt=0)
    trace: str | None = Field(default=None, min_length=1)

    @field_validator("kind", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value
