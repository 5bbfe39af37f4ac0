"""The settings sections ``llm``, ``prompt``, ``nli`` and ``chain``."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

DType = Literal["auto", "float32", "bfloat16", "float16"]
Family = Literal["auto", "gemma", "llama2", "generic"]
Context = Literal["retrieved", "gold", "none"]
Decide = Literal["score", "generate"]
Verify = Literal["off", "report", "retry", "abstain"]


class LLMConfig(BaseModel):
    """The language model that answers.

    Attributes:
        kind: ``huggingface`` loads a causal model on this machine; ``extractive`` answers with quotes, without a model.
        model: ``embedded`` (medground-tiny), a hub id or a folder.
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

    kind: Literal["huggingface", "extractive"] = "huggingface"
    model: str = Field(default="embedded", min_length=1)
    dtype: DType = "auto"
    quantization: Literal["none", "8bit", "4bit"] = "none"
    double_quant: bool = False
    adapter: str | None = Field(default=None, min_length=1)
    merge_adapter: bool = False
    device_map: str = Field(default="auto", min_length=1)
    max_new_tokens: int = Field(default=8, ge=1, strict=True)
    batch_tokens: int = Field(default=4096, ge=1, strict=True)
    system: str | None = None


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
