"""LoRA and other PEFT adapters, attached to a loaded model or merged into it."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from common.errors import UserError
from common.hub import TOKENIZER_FILES, hub_errors, pickle_message
from common.logs import no_bars

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def add_adapter(
    model: "PreTrainedModel", adapter: str, *, merge: bool, base: str, resize: bool = True
) -> "PreTrainedModel":
    """Load a PEFT adapter into a model, which is changed in place but stays as it was if the adapter is rejected.

    Args:
        model: the base model.
        adapter: folder or hub id of the adapter.
        merge: merge the adapter into the weights; else the result is a ``PeftModel``.
        base: hub id or folder of ``model``, compared with the base named in the adapter.
        resize: if the adapter has another number of embeddings than the model, give the model that number. If false,
            such an adapter is rejected.

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
    # A LoRA layer adds B·A·x, and B is initialised to 0. So an adapter whose B are all 0 changes nothing.
    if saved and all(".lora_A." in name or (".lora_B." in name and not value.any()) for name, value in saved.items()):
        raise UserError(
            f"Adapter {adapter} changes nothing: its lora_B weights are all 0, as before training. Distributed "
            "training may save it so; save it again with the trained weights."
        )
    trained_on = config.base_model_name_or_path
    reason = f"it was made for {trained_on or 'another model'}"
    if trained_on == base:
        reason = "its layers or their shapes differ from the model's, which may have been replaced since"
    misfit_error = UserError(
        f"Adapter {adapter} does not fit the model {base}: {reason}. Set llm.model to the model it was made for, or "
        "choose another adapter."
    )
    if trained_on and is_hub_id(trained_on) and is_hub_id(base) and trained_on.lower() != base.lower():
        raise misfit_error  # folders are not compared: one may hold a copy of the base
    config.inference_mode = True
    config.base_model_name_or_path = None  # it was compared above; peft would warn about copies in other folders
    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.weight.shape[0]  # one per token
    needed = _saved_rows(model, saved) or _rows_for_trained_tokens(config, rows)
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
        expected = peft.get_peft_model_state_dict(attached, save_embedding_layers=False)
        adapter_weights = {name for name in saved if name in expected or "lora_" in name}
        if adapter_weights != set(expected) or any(saved[name].shape != expected[name].shape for name in expected):
            raise misfit_error
        modules = {name for name, _ in model.named_children()}
        others = sorted(saved.keys() - expected.keys())
        if foreign := [n for n in others if n.removeprefix("base_model.model.").partition(".")[0] not in modules]:
            misfit_error = UserError(
                f"Adapter {adapter} has weights that a causal language model has no place for ({foreign[0]}). It was "
                "made for another task, such as classification. Choose an adapter of a causal language model."
            )
            raise misfit_error
        peft.set_peft_model_state_dict(attached, saved)
    except (UserError, ValueError, RuntimeError, TypeError) as error:  # peft raises the last three
        if hasattr(getattr(attached, "base_model", None), "unload"):
            attached.base_model.unload()
        if needed not in (None, rows):
            model.resize_token_embeddings(rows, mean_resizing=False)
        raise misfit_error from error
    attached.eval()
    return merge_adapter(attached, adapter) if merge else cast("PreTrainedModel", attached)


def _saved_rows(model: "PreTrainedModel", saved: Mapping[str, Any]) -> int | None:
    """Number of tokens of the embeddings saved with an adapter; None without embeddings."""
    embeddings = (model.get_input_embeddings(), model.get_output_embeddings())
    names = {name for name, module in model.named_modules() if any(module is layer for layer in embeddings)}
    for name, weight in saved.items():
        module = name.removeprefix("base_model.model.").removesuffix(".weight").removesuffix(".base_layer")
        if module.removesuffix(".token_adapter") in names:
            return int(weight.shape[0])
    return None


def _rows_for_trained_tokens(config: Any, rows: int) -> int | None:
    """Number of embeddings that ``trainable_token_indices`` need; None if the model's ``rows`` suffice."""
    indices = getattr(config, "trainable_token_indices", None) or ()
    lists = indices.values() if isinstance(indices, dict) else [indices]  # a dict has one list per layer
    needed = 1 + max((index for tokens in lists for index in tokens), default=-1)
    return needed if needed > rows else None


def adapter_tokenizer(adapter: str, base: "PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
    """The adapter's tokenizer; if it has none, ``base``, which then gets the adapter's chat template, if any."""
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
    ids = tokenizer.get_vocab()
    for token, base_id in base.get_vocab().items():
        if ids.get(token, base_id) != base_id:
            raise UserError(
                f"Adapter {adapter} has a tokenizer that does not fit the model {base.name_or_path}: {token!r} has the "
                f"id {ids[token]} there and {base_id} in the model's. Set llm.model to the model it was made for."
            )
    tokenizer.chat_template = tokenizer.chat_template or base.chat_template
    return tokenizer


def tokenizer_source(adapter: str) -> str | None:
    """The adapter's folder or hub id if it has a tokenizer, else None."""
    return adapter if any(model_file(adapter, name) for name in TOKENIZER_FILES) else None


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
    """The settings that determine an attached adapter's effect besides its weights; empty without an adapter.

    For LoRA and its variants these are the scaling factors of the layers (from alpha and rank), else all settings.
    """
    configs = getattr(model, "peft_config", None)
    if not configs:
        return {}
    scaling = {name: getattr(module, "scaling", None) for name, module in model.named_modules()}
    if factors := {name: value for name, value in scaling.items() if isinstance(value, dict) and value}:
        return {"kinds": [str(config.peft_type) for config in configs.values()], "scaling": factors}
    return {"kinds": [str(sorted(config.to_dict().items(), key=str)) for config in configs.values()]}


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

    Tied input and output embeddings are untied if the adapter changes one of them.

    Raises:
        UserError: the adapter has no weights that can be merged, or merged weights are not finite.
    """
    if not hasattr(attached.base_model, "merge_and_unload"):
        kind = attached.active_peft_config.peft_type.value
        raise UserError(
            f"Adapter {adapter} is of the kind {kind}, which changes no weights, so it cannot be merged. "
            "Use it attached: set llm.adapter, with llm.merge_adapter false."
        )
    _untie_adapted(attached.get_base_model())
    try:
        with _quiet_peft():
            return cast("PreTrainedModel", attached.merge_and_unload(safe_merge=True))
    except ValueError as error:
        raise UserError(f"Adapter {adapter} cannot be merged: {str(error).splitlines()[0]}") from error


def _untie_adapted(model: Any) -> None:
    """Untie tied input and output embeddings if an adapter changes one of them."""
    from torch.nn import Parameter

    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    if not any(hasattr(layer, "base_layer") for layer in layers):  # peft's wrapper of an adapted layer
        return
    inputs, outputs = (getattr(layer, "base_layer", layer) for layer in layers)
    if outputs is not None and outputs.weight is inputs.weight:
        outputs.weight = Parameter(outputs.weight.detach().clone(), requires_grad=False)


@contextmanager
def _quiet_peft() -> Iterator[None]:
    """Hide peft's warnings about a deprecated name in transformers and about tied embeddings (``_untie_adapted``)."""
    with warnings.catch_warnings(category=FutureWarning, action="ignore"):
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings")
        yield


def is_hub_id(name: str) -> bool:
    """Whether a model's name has the form of a hub id and is no path on this machine."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()
