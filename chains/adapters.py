"""LoRA and other PEFT adapters, attached to a loaded model or merged into it."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, cast

from corpus.errors import UserError
from corpus.hub import hub_errors

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def add_adapter(model: "PreTrainedModel", adapter: str, *, merge: bool, base: str) -> "PreTrainedModel":
    """The model with a PEFT adapter, attached (``PeftModel``) or merged into its weights.

    Args:
        model: the base model, loaded.
        adapter: folder or hub id of the adapter.
        merge: fold the adapter into the weights.
        base: the base model's hub id or folder, for the comparison with what the adapter was trained on.

    Raises:
        UserError: the adapter is absent or was made for another base, or would be merged into quantised weights.
    """
    import peft

    if merge and getattr(model, "is_quantized", False):
        raise UserError(
            f"Adapter {adapter} cannot be merged into quantised weights without losing accuracy. "
            "Set llm.merge_adapter to false, or llm.quantization to none."
        )
    with hub_errors("Adapter", adapter):
        if Path(adapter).is_dir() and not (Path(adapter) / "adapter_config.json").is_file():
            raise UserError(f"Adapter {adapter}: the folder has no adapter_config.json, so it holds no PEFT adapter.")
        config = peft.PeftConfig.from_pretrained(adapter)
        saved = peft.load_peft_weights(adapter, device="cpu")
    trained_on = config.base_model_name_or_path
    misfit = UserError(
        f"Adapter {adapter} does not fit the model {base}: it was made for {trained_on or 'another model'}. "
        "Set llm.model to the model it was made for, or choose another adapter."
    )
    if trained_on and _is_hub_id(trained_on) and _is_hub_id(base) and trained_on.lower() != base.lower():
        raise misfit  # a folder may be a copy of anything, but two different hub ids are two models
    config.inference_mode = True
    config.base_model_name_or_path = None  # compared above; peft would warn of every copy in another folder
    try:
        with warnings.catch_warnings(category=FutureWarning, action="ignore"):  # peft asks transformers by an old name
            attached = peft.get_peft_model(model, config)
        wanted = peft.get_peft_model_state_dict(attached, save_embedding_layers=False)
        given = {name for name in saved if name in wanted or "lora_" in name}
        if given != set(wanted) or any(saved[name].shape != wanted[name].shape for name in wanted):
            raise misfit
        peft.set_peft_model_state_dict(attached, saved)
    except (ValueError, RuntimeError) as error:  # target modules that are not there, or weights of another size
        raise misfit from error
    attached.eval()
    return cast("PreTrainedModel", attached.merge_and_unload(safe_merge=True) if merge else attached)


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()
