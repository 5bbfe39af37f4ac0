"""Loading of causal language models from the hub, a folder, a GGUF file or the embedded medground-tiny."""

import json
import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chains.config import Family, LLMConfig
from chains.models.adapters import adapter_settings, adapter_tokenizer, add_adapter, model_file
from chains.models.base import Prompt
from chains.models.fetch import source_of
from chains.models.generation import no_finite_numbers
from chains.models.gguf import converted_folder, gguf_path
from chains.models.known import known_model
from chains.models.prompt_sanitizing import Cleaner
from chains.models.scoring import Scorable, encode, scored_batches, with_labels
from chains.models.templates import (
    answer_end,
    answers_in_channel,
    end_token,
    label_lead,
    next_turn,
    prepare_template,
    render,
)
from chains.prompts import Messages, PromptFamily, resolve_family
from common.cpu import bfloat16_is_faster
from common.errors import UserError
from common.fingerprints import content_key, weights_digest
from common.hub import SAFE_LOADING, check_tokenizer, check_weights, hub_errors
from common.logs import no_bars, no_loading_report
from common.result_cache import Batches, ResultCache

if TYPE_CHECKING:
    import torch
    from langchain_core.runnables import Runnable
    from langchain_huggingface import ChatHuggingFace
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from chains.models.cpu_llama import PackedLlama

EMBEDDED = Path(__file__).parents[1] / "embedded"
# Padding tokens and unused tokens of common models, in order of preference.
_PADDING_TOKENS = ["<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>"]
_PADDING_TOKENS += ["<|reserved_special_token_0|>", "<unused0>", "<|unused0|>"]


class TemplatePrompts:
    """Prompts of a model with a local tokenizer and chat template."""

    tokenizer: "PreTrainedTokenizerBase"

    @cached_property
    def stop_texts(self) -> tuple[str, ...]:
        """The texts after an answer in the chat template that stop generation, without those that are tokens."""
        turn_end = "" if end_token(self.tokenizer) else answer_end(self.tokenizer).strip()
        ends = (turn_end, next_turn(self.tokenizer))
        return tuple(text for text in ends if text and text not in self.tokenizer.get_vocab())

    @cached_property
    def clean(self) -> Cleaner:
        """Function that replaces special tokens and unprintable characters by spaces."""
        return Cleaner(self.tokenizer)

    def prompts(self, conversations: Sequence[Messages]) -> list[Prompt]:
        """Each conversation rendered by the chat template, with its token ids."""
        texts = render(self.tokenizer, conversations)
        return list(zip(texts, encode(self.tokenizer, texts), strict=True))

    def length(self, prompt: Prompt) -> int:
        """The number of tokens of a prompt."""
        return len(prompt[1])

    def with_labels(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Scorable]:
        """The prompts with the token ids of the labels after them."""
        texts, ids = [text for text, _ in prompts], [prompt_ids for _, prompt_ids in prompts]
        return with_labels(self.tokenizer, texts, ids, labels, label_lead(self.tokenizer))

    def label_length(self, labels: Sequence[str]) -> int:
        """Number of tokens of the longest label after a prompt."""
        lead = label_lead(self.tokenizer)
        return max(len(ids) for ids in encode(self.tokenizer, [lead + label for label in labels]))


@dataclass(frozen=True)
class LocalLLM(TemplatePrompts):
    """A loaded causal model with its tokenizer.

    The tokenizer pads on the left and has a padding token and a chat template that accepts a system text. Every forward
    pass runs inside ``guard()``, which switches the adapter of a base shared by two models (``adapter_switch``).
    Results are read from and stored in ``cache``.
    """

    name: str
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    config: LLMConfig
    guard: Callable[[], AbstractContextManager[object]] = nullcontext
    cache: ResultCache | None = None

    @property
    def window(self) -> int | None:
        """Context window: maximum number of tokens of prompt and answer together; None if unknown."""
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if positions:
            return int(positions)
        length = self.tokenizer.model_max_length
        return int(length) if length < 10**9 else None  # transformers' value for unknown is 10^30

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that can affect the answer to a prompt.

        That is weights, adapter, architecture, tokenizer, texts around an answer, dtype, device and library versions.
        The folder's name is left out, since it has no effect. The chat template is left out, since its text is in the
        prompt.
        """
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        return content_key(
            weights=weights_digest(self.model),
            adapter=adapter_settings(self.model),
            architecture=self.model.config.to_json_string(),
            tokenizer=backend.to_str() if backend is not None else repr(self.tokenizer),
            answer=[label_lead(self.tokenizer), self.stop_texts, self.model.generation_config.eos_token_id],
            compute=str(resolve_dtype(self.config)),
            device=self.model.device.type,
            versions={name: version(name) for name in ("medground", "torch", "transformers")},
        )

    @cached_property
    def answer_message(self) -> tuple[list[int], int] | None:
        """The tokens before an answer, and its end token; None unless turns have several messages in channels."""
        end = end_token(self.tokenizer)
        if end is None or not answers_in_channel(self.tokenizer):
            return None
        [lead] = encode(self.tokenizer, [label_lead(self.tokenizer)])
        return lead, self.tokenizer.get_vocab()[end]

    @cached_property
    def packed(self) -> "PackedLlama | None":
        """A copy of the model that scores labels faster on a CPU; None if not supported."""
        from chains.models.cpu_llama import pack_llama

        return pack_llama(self.model)

    def family(self, family: Family) -> PromptFamily:
        """The prompt family; ``auto`` is resolved by architecture, name and chat template."""
        return resolve_family(family, self.model.config.model_type, self.name, str(self.tokenizer.chat_template))

    def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> Batches:
        """Score the labels after each prompt; yields batches of prompt indices and the labels' log-likelihoods."""
        scorables = self.with_labels(prompts, labels)
        with self.guard():
            for indices, rows in scored_batches(self.model, scorables, self.config.batch_tokens, self.packed):
                if any(not math.isfinite(max(row)) or any(map(math.isnan, row)) for row in rows):
                    raise no_finite_numbers(self.name, self.model.dtype)
                yield indices, rows

    def writer(self, max_tokens: int) -> "Runnable[Any, Any]":
        """The chat model, generating at most ``max_tokens`` tokens."""
        return self.chat.bind(max_tokens=max_tokens)

    @cached_property
    def chat(self) -> "ChatHuggingFace":
        """The model as a LangChain chat model."""
        from chains.models.local_chat import LocalChat, LocalPipeline

        pipeline = LocalPipeline(local=self, model_id=self.name)
        return LocalChat(llm=pipeline, tokenizer=self.tokenizer, model_id=self.name)


def load_llm(config: LLMConfig, cache: ResultCache | None = None) -> LocalLLM:
    """Load the causal model, tokenizer and adapter of ``config``; ``cache`` stores the results.

    A tokenizer or chat template saved with the adapter replaces the model's. Code in a model's folder is never
    executed, and weights are read from safetensors files only.

    Raises:
        UserError: the model or adapter cannot be loaded (absent, gated, offline, damaged), is not a causal model, does
            not match tokenizer, chat template or adapter, or cannot be quantised or placed as the settings require.
    """
    from transformers import AutoTokenizer

    if config.kind != "huggingface":
        raise UserError(f"This needs a model's weights, and llm.kind is {config.kind}. Set it to huggingface.")
    if config.merge_adapter and config.adapter is None:
        raise UserError("llm.merge_adapter is true but llm.adapter names no adapter. Set llm.adapter, or drop it.")
    source = model_source(config)
    with hub_errors("Model", source), no_bars():
        model = _load_model(source, config)
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source, padding_side="left", trust_remote_code=False
        )
        if tokenizer.chat_template is None and (file := model_file(source, "chat_template.json")):
            # Multimodal models have the template in a file of their processor.
            tokenizer.chat_template = json.loads(file.read_text(encoding="utf-8")).get("chat_template")
    model.eval()
    _pass_contiguous_states(model)
    if config.adapter is not None:
        tokenizer = adapter_tokenizer(config.adapter, tokenizer)
        model = add_adapter(model, config.adapter, merge=config.merge_adapter, base=config.model)
    fit_tokenizer(tokenizer, model)
    return LocalLLM(name=config.model, model=model, tokenizer=tokenizer, config=config, cache=cache)


def _pass_contiguous_states(model: "PreTrainedModel") -> None:
    """Pass contiguous hidden states to a model's output layer (head).

    transformers passes the head a slice, the last position of each prompt. In bfloat16 on a CPU, torch copies the
    head's weights for each row of a batch that is not contiguous: for SmolLM2 and 64 prompts 3.5 GB and 9.4 s instead
    of 0.03 s.
    """
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(lambda _, inputs: tuple(states.contiguous() for states in inputs))


def fit_tokenizer(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> None:
    """Prepare a tokenizer for its model, and the model's generation config for the tokenizer.

    The tokenizer gets a padding token and a usable chat template. Generation becomes greedy and stops at the end tokens
    of checkpoint, tokenizer and chat template.
    """
    base: Any = getattr(model, "get_base_model", lambda: model)()  # an attached adapter wraps the model
    rows = base.get_input_embeddings().weight.shape[0]
    _set_padding(tokenizer, base, rows)
    prepare_template(tokenizer)
    prompt = render(tokenizer, [[{"role": "user", "content": "Is it so?"}]])
    check_tokenizer(tokenizer.name_or_path, tokenizer, rows, encode(tokenizer, prompt)[0])
    _make_greedy(tokenizer, base)


def model_source(config: LLMConfig) -> str:
    """The folder or hub id that transformers loads for ``config.model``; a GGUF file is converted first."""
    if config.model == "embedded":
        return str(EMBEDDED)
    if (known := known_model(config.model)) is not None and config.gguf_file is None:
        return source_of(known)
    file = gguf_path(config)
    return config.model if file is None else str(converted_folder(file))


def resolve_dtype(config: LLMConfig) -> "torch.dtype":
    """The torch dtype of the weights; ``LLMConfig.dtype`` documents ``auto``."""
    import torch

    if config.dtype != "auto":
        resolved: torch.dtype = getattr(torch, config.dtype)
        return resolved
    if config.quantization == "8bit":
        return torch.float16  # LLM.int8() computes in float16
    device_map = config.device_map
    if device_map != "cpu" and torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device_map != "cpu" and torch.backends.mps.is_available():
        return torch.float16
    return torch.bfloat16 if bfloat16_is_faster() else torch.float32


def _load_model(source: str, config: LLMConfig) -> "PreTrainedModel":
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

    auto: Any = AutoModelForCausalLM
    dtype = resolve_dtype(config)
    quantization = None
    if config.quantization == "4bit":
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_use_double_quant=config.double_quant,
        )
    elif config.quantization == "8bit":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    # Loaded before the weights, so that an unreachable hub is reported at once.
    architecture = AutoConfig.from_pretrained(source, trust_remote_code=False)
    _check_causal(config.model, architecture)
    if (stored := _stored_quantization(architecture)) and config.quantization not in ("none", stored):
        raise UserError(
            f"Model {config.model} has quantised weights ({stored}), and llm.quantization is {config.quantization}. "
            "Set it to none to load the weights as they are, or choose the 16-bit original."
        )
    if (Path(source) / "adapter_config.json").is_file():
        raise _has_adapter_error(config.model)
    try:
        with no_loading_report():
            model, report = auto.from_pretrained(
                source,
                config=architecture,
                dtype=dtype,
                device_map=_device_map(config.device_map),
                quantization_config=quantization,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # check_weights refuses them and names the weights
                **SAFE_LOADING,
            )
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"Model {config.model} does not fit in the card's memory in {config.dtype} with quantization "
            f"{config.quantization}. Set llm.quantization to 4bit, or choose a smaller model."
        ) from error
    except (ImportError, RuntimeError) as error:
        if quantization is None:
            raise
        raise UserError(
            f"Model {config.model} cannot be quantised to {config.quantization} on this machine "
            f"({str(error).strip().splitlines()[0]}). Set llm.quantization to none."
        ) from error
    except ValueError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
        raise UserError(
            f"Model {config.model} is not a causal language model, so it cannot write answers. "
            "Choose a model whose page says text generation."
        ) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise UserError(
            f"Model {config.model}: its weights lack {len(missing)} tensors that the architecture needs "
            f"({missing[0]}, ...). Choose a complete causal language model."
        )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise _has_adapter_error(config.model)
    if any(_lacks_quantization(module) for module in model.modules()):
        raise UserError(
            f"Model {config.model}: its config.json says that the weights are quantised by bitsandbytes, and they are "
            "not. Remove quantization_config from config.json; llm.quantization quantises them here."
        )
    if not getattr(model, "is_quantized", False):
        check_weights(config.model, model, report)
    loaded: PreTrainedModel = model
    return loaded


# Architectures with causal attention even if config.is_decoder is false.
_ALWAYS_CAUSAL = ("gpt_neox", "gpt_neox_japanese")
# Class names of models with another head than a language model's.
_OTHER_HEAD = re.compile(r"For(?:\w*Classification|QuestionAnswering|MaskedLM|MultipleChoice|\w*Reward\w*|\w*Score)\Z")


def _check_causal(name: str, config: Any) -> None:
    """Refuse encoders, encoder-decoders and classifiers; some load as causal models but give wrong results."""
    other_heads = [architecture for architecture in config.architectures or () if _OTHER_HEAD.search(architecture)]
    if getattr(config, "is_encoder_decoder", False):
        kind = f"an encoder-decoder ({config.model_type})"
    elif getattr(config, "is_decoder", True) is False and config.model_type not in _ALWAYS_CAUSAL:
        kind = f"an encoder, which reads texts in both directions ({config.model_type})"
    elif other_heads:
        kind = f"another kind of model ({other_heads[0]})"
    else:
        return
    raise UserError(
        f"Model {name} is not a causal language model, so it cannot write answers: it is {kind}. Choose a model whose "
        "page says text generation. A sequence classifier judges pairs with nli.kind encoder and nli.model."
    )


def _stored_quantization(architecture: Any) -> str | None:
    """How the weights of a checkpoint are quantised: 4bit or 8bit of bitsandbytes, or the name of another method."""
    stored = getattr(architecture, "quantization_config", None)
    settings: dict[str, Any] = stored if isinstance(stored, dict) else stored.to_dict() if stored else {}
    bits = next((bits for bits in ("4bit", "8bit") if settings.get(f"load_in_{bits}")), None)
    return bits or (str(settings.get("quant_method", "unknown")) if settings else None)


def _lacks_quantization(module: Any) -> bool:
    """Whether a quantised layer of bitsandbytes has weights without the attribute that quantisation gives them."""
    attribute = {"Linear4bit": "quant_state", "Linear8bitLt": "CB"}.get(type(module).__name__)
    return attribute is not None and not hasattr(module.weight, attribute)


def _has_adapter_error(name: str) -> UserError:
    return UserError(
        f"Model {name} comes with an adapter (adapter_config.json). Name the adapter's folder in llm.adapter, and its "
        "base in llm.model; a merged model belongs into a folder without adapter_config.json."
    )


def find_device(name: str) -> "torch.device":
    """The torch device; ``auto`` is this machine's accelerator if it has one, else the CPU."""
    import torch

    if name == "auto":
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"This machine has no device {name!r}. Use auto or cpu.") from error
    return device


def _device_map(name: str) -> dict[str, str] | str:
    """transformers' device map; ``auto`` spreads a model over several GPUs, and is the CPU if there is none."""
    import torch

    return "auto" if name == "auto" and torch.accelerator.is_available() else {"": str(find_device(name))}


def _set_padding(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel", rows: int) -> None:
    """Set a padding token among the model's ``rows`` embeddings.

    Padding is masked, so any token works; an unused token keeps the end of a text distinct from padding.
    """
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= rows:
        vocabulary = tokenizer.get_vocab()
        candidates = [*_PADDING_TOKENS, tokenizer.unk_token, tokenizer.eos_token, tokenizer.convert_ids_to_tokens(0)]
        tokenizer.pad_token = next(token for token in candidates if vocabulary.get(token, rows) < rows)
    tokenizer.padding_side = "left"
    model.config.pad_token_id = tokenizer.pad_token_id


def _make_greedy(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> None:
    """Replace the checkpoint's generation config by greedy decoding with all end tokens and the padding token."""
    from transformers import GenerationConfig

    checkpoint_ends = model.generation_config.eos_token_id if model.generation_config else None
    template_ends = ["" if answers_in_channel(tokenizer) else end_token(tokenizer), next_turn(tokenizer)]
    vocabulary = tokenizer.get_vocab()
    ends = [
        *(checkpoint_ends if isinstance(checkpoint_ends, list) else [checkpoint_ends]),
        tokenizer.eos_token_id,
        *(vocabulary.get(text) for text in template_ends if text),
    ]
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted({end for end in ends if end is not None}) or None,
        pad_token_id=tokenizer.pad_token_id,
    )
