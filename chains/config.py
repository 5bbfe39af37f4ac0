"""The settings sections ``llm``, ``prompt`` and ``chain``."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DType = Literal["auto", "float32", "bfloat16", "float16"]
Family = Literal["auto", "gemma", "llama2", "generic"]
Context = Literal["retrieved", "gold", "none"]
Decide = Literal["score", "generate"]


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
    """The wording of the prompts; ``auto`` picks the family that the model belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Family = "auto"


class ChainConfig(BaseModel):
    """How a question becomes an answer.

    Attributes:
        context: what the model reads: ``retrieved`` passages, the ``gold`` text given with the question, or ``none``.
        decide: ``score`` takes the most probable label, ``generate`` reads the label out of generated text.
        passages: how many retrieved passages the answer may use.
        max_sentences: how many evidence sentences an extractive answer quotes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    context: Context = "retrieved"
    decide: Decide = "score"
    passages: int = Field(default=1, ge=1, strict=True)
    max_sentences: int = Field(default=3, ge=1, strict=True)
