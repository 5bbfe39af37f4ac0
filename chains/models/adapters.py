"""LoRA and other PEFT adapters, attached to a loaded model or merged into it."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from common.errors import UserError
from common.hub import hub_errors, pickle_message
from common.logs import no_bars

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")


def add_adapter(
    model: "PreTrainedModel", adapter: str, *, merge: bool, base: str, resize: bool = True
) -> "PreTrainedModel":
    """Load a PEFT adapter, a folder or hub id, into a model: attached (``PeftModel``) or merged into the weights.

    ``model`` is changed in place: it gets the adapter's layers or new weights, and with ``resize`` the adapter's number
    of embeddings. If the adapter is rejected, the model is unchanged. ``base``, the model's hub id or folder, is
    compared with the base named in the adapter.

    Raises:
        UserError: the adapter is absent or belongs to another base, or would be merged into quantised weights.
    """
    import peft

    if merge and getattr(model, "is_quantized", False):
        raise UserError(
            f"Adapter {adapter} cannot be merged into quantised weights without losing accuracy. "
            "Set llm.merge_adapter to false, or llm.quantization to none."
        )
    config = read_adapter(adapter)
    with hub_errors("Adapter", adapter):
        if model_file(adapter, "adapter_model.safetensors") is None:
            if model_file(adapter, "adapter_model.bin") is not None:
                raise UserError(pickle_message("Adapter", adapter, "adapter_model.bin"))
            if Path(adapter).is_dir():
                raise UserError(f"Adapter {adapter}: the folder has no adapter_model.safetensors. Copy it there again.")
        saved = peft.load_peft_weights(adapter, device="cpu")
    if saved and all(".lora_A." in name or (".lora_B." in name and not value.any()) for name, value in saved.items()):
        raise UserError(
            f"Adapter {adapter} changes nothing: its lora_B weights are all 0, as before training. Distributed "
            "training may save it so; save it again with the trained weights."
        )
    trained_on = config.base_model_name_or_path
    problem = f"it was made for {trained_on or 'another model'}"
    if trained_on == base:
        problem = "its layers or their shapes differ from the model's, which may have been replaced since"
    misfit = UserError(
        f"Adapter {adapter} does not fit the model {base}: {problem}. Set llm.model to the model it was made for, or "
        "choose another adapter."
    )
    if trained_on and _is_hub_id(trained_on) and _is_hub_id(base) and trained_on.lower() != base.lower():
        raise misfit  # a folder may hold a copy of the base, but different hub ids are different models
    config.inference_mode = True
    config.base_model_name_or_path = None  # compared above; peft would warn about copies in other folders
    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.weight.shape[0]
    needed = _embeddings(model, saved) or _trained_tokens(config, rows)
    if needed not in (None, rows):
        if not resize or tokenizer_source(adapter) is None:
            advice = "Merge the two with `medground merge` and name the result in llm.model."
            if resize:
                advice = "Save the tokenizer that it was trained with in the adapter's folder."
            raise UserError(
                f"Adapter {adapter} has embeddings for {needed} tokens and the model {base} for {rows}. {advice}"
            )
        model.resize_token_embeddings(needed, mean_resizing=False)
    attached: Any = None
    try:
        with _quiet_peft():
            attached = peft.get_peft_model(model, config)
        wanted = peft.get_peft_model_state_dict(attached, save_embedding_layers=False)
        given = {name for name in saved if name in wanted or "lora_" in name}
        if given != set(wanted) or any(saved[name].shape != wanted[name].shape for name in wanted):
            raise misfit
        parts = {name for name, _ in model.named_children()}
        if others := sorted(name for name in saved if name not in wanted and _top(name) not in parts):
            misfit = UserError(
                f"Adapter {adapter} has weights that a causal language model has no place for ({others[0]}). It was "
                "made for another task, such as classification. Choose an adapter of a causal language model."
            )
            raise misfit
        peft.set_peft_model_state_dict(attached, saved)
    # Missing target modules, weights of another size, or invalid settings.
    except (UserError, ValueError, RuntimeError, TypeError) as error:
        if hasattr(getattr(attached, "base_model", None), "unload"):
            attached.base_model.unload()
        if needed not in (None, rows):
            model.resize_token_embeddings(rows, mean_resizing=False)
        raise misfit from error
    attached.eval()
    return merge_adapter(attached, adapter) if merge else cast("PreTrainedModel", attached)


def _embeddings(model: "PreTrainedModel", saved: Mapping[str, Any]) -> int | None:
    """Number of rows of the embeddings saved with an adapter; None if it has none."""
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    names = {name for name, module in model.named_modules() if any(module is end for end in ends)}
    for name, weight in saved.items():
        module = name.removeprefix("base_model.model.").removesuffix(".weight").removesuffix(".base_layer")
        if module.removesuffix(".token_adapter") in names:
            return int(weight.shape[0])
    return None


def _top(name: str) -> str:
    """The part of the base model that a tensor of an adapter belongs to, such as ``model`` or ``lm_head``."""
    return name.removeprefix("base_model.model.").partition(".")[0]


def _trained_tokens(config: Any, rows: int) -> int | None:
    """Number of embeddings that an adapter's trained tokens need, if more than the model's ``rows``."""
    given = getattr(config, "trainable_token_indices", None) or ()
    lists = given.values() if isinstance(given, dict) else [given]
    needed = 1 + max((index for one in lists for index in one), default=-1)
    return needed if needed > rows else None


def adapter_tokenizer(adapter: str, base: "PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
    """The adapter's tokenizer, or else ``base`` with the adapter's chat template if it has one."""
    from transformers import AutoTokenizer

    read_adapter(adapter)
    source = tokenizer_source(adapter)
    if source is None:
        if (template := model_file(adapter, "chat_template.jinja")) is not None:
            base.chat_template = template.read_text(encoding="utf-8")
        return base
    with hub_errors("Adapter", adapter), no_bars():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source, padding_side="left", trust_remote_code=False
        )
    ids, known = tokenizer.get_vocab(), base.get_vocab()
    for token, number in known.items():
        if ids.get(token, number) != number:
            raise UserError(
                f"Adapter {adapter} has a tokenizer that does not fit the model {base.name_or_path}: {token!r} has the "
                f"id {ids[token]} there and {number} in the model's. Set llm.model to the model it was made for."
            )
    tokenizer.chat_template = tokenizer.chat_template or base.chat_template
    return tokenizer


def tokenizer_source(adapter: str) -> str | None:
    """The adapter's folder or hub id if it has a tokenizer, else None."""
    return adapter if any(model_file(adapter, name) for name in _VOCABULARIES) else None


def model_file(source: str, name: str) -> Path | None:
    """The path of a file in a folder or hub repository; None if it does not exist."""
    from transformers.utils.hub import cached_file

    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.is_file() else None
    found = cached_file(
        source,
        name,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def adapter_settings(model: "PreTrainedModel") -> dict[str, Any]:
    """The settings that determine an attached adapter's effect besides its weights; empty without one.

    For LoRA and its variants these are the scaling factors of the layers, from alpha and rank.
    """
    configs = getattr(model, "peft_config", None)
    if not configs:
        return {}
    scaling = {name: getattr(module, "scaling", None) for name, module in model.named_modules()}
    if factors := {name: value for name, value in scaling.items() if isinstance(value, dict) and value}:
        return {"kinds": [str(one.peft_type) for one in configs.values()], "scaling": factors}
    return {"kinds": [str(sorted(one.to_dict().items(), key=str)) for one in configs.values()]}


def read_adapter(adapter: str) -> Any:
    """The adapter's ``peft.PeftConfig``."""
    import peft

    with hub_errors("Adapter", adapter):
        if Path(adapter).is_dir() and not (Path(adapter) / "adapter_config.json").is_file():
            raise UserError(f"Adapter {adapter}: the folder has no adapter_config.json, so it holds no PEFT adapter.")
        try:
            return peft.PeftConfig.from_pretrained(adapter)
        except (KeyError, TypeError, ValueError) as error:  # ValueError: not JSON
            if not model_file(adapter, "adapter_config.json"):
                raise
            raise UserError(
                f"Adapter {adapter}: its adapter_config.json cannot be used ({type(error).__name__}: {error}). It may "
                f"be damaged, or made by a later version of PEFT than {peft.__version__}."
            ) from error


def merge_adapter(attached: Any, adapter: str) -> "PreTrainedModel":
    """The base of a ``PeftModel`` with the adapter merged into its 16- or 32-bit weights.

    If the adapter changes one of two tied embeddings, they are untied.

    Raises:
        UserError: the adapter has no weights that can be merged, or the results are not finite.
    """
    if not hasattr(attached.base_model, "merge_and_unload"):
        kind = attached.active_peft_config.peft_type.value
        raise UserError(
            f"Adapter {adapter} is of the kind {kind}, which changes no weights, so it cannot be merged. "
            "Use it attached: set llm.adapter, with llm.merge_adapter false."
        )
    _untie(attached.get_base_model())
    try:
        with _quiet_peft():
            return cast("PreTrainedModel", attached.merge_and_unload(safe_merge=True))
    except ValueError as error:
        raise UserError(f"Adapter {adapter} cannot be merged: {str(error).splitlines()[0]}") from error


def _untie(model: Any) -> None:
    """Untie tied embeddings if an adapter changes one of them."""
    from torch.nn import Parameter

    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    if not any(hasattr(end, "base_layer") for end in ends):
        return
    first, last = (getattr(end, "base_layer", end) for end in ends)
    if last is not None and last.weight is first.weight:
        last.weight = Parameter(last.weight.detach().clone(), requires_grad=False)


@contextmanager
def _quiet_peft() -> Iterator[None]:
    """Hide peft's warnings that concern training code."""
    with warnings.catch_warnings(category=FutureWarning, action="ignore"):  # peft uses an old name of transformers
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings")  # handled in merge_adapter
        yield


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()
