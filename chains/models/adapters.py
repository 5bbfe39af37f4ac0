"""LoRA and other PEFT adapters, attached to a loaded model or merged into it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from common.errors import UserError
from common.hub import hub_errors

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def add_adapter(model: "PreTrainedModel", adapter: str, *, merge: bool, base: str) -> "PreTrainedModel":
    """The model with a PEFT adapter, attached (``PeftModel``) or merged into its weights.

    Either way ``model`` itself is changed: it gets the adapter's layers, or new weights. Where an adapter is refused,
    it is left as it was.

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
    config = read_adapter(adapter)
    with hub_errors("Adapter", adapter):
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
    attached: Any = None
    try:
        with _quiet_peft():
            attached = peft.get_peft_model(model, config)
        wanted = peft.get_peft_model_state_dict(attached, save_embedding_layers=False)
        given = {name for name in saved if name in wanted or "lora_" in name}
        if given != set(wanted) or any(saved[name].shape != wanted[name].shape for name in wanted):
            raise misfit
        peft.set_peft_model_state_dict(attached, saved)
    except (UserError, ValueError, RuntimeError) as error:  # no such target modules, or weights of another size
        if hasattr(getattr(attached, "base_model", None), "unload"):
            attached.base_model.unload()
        raise misfit from error
    attached.eval()
    return merge_adapter(attached, adapter) if merge else cast("PreTrainedModel", attached)


def read_adapter(adapter: str) -> Any:
    """The adapter's ``peft.PeftConfig``.

    Raises:
        UserError: the adapter is absent, or its settings cannot be read.
    """
    import peft

    with hub_errors("Adapter", adapter):
        if Path(adapter).is_dir() and not (Path(adapter) / "adapter_config.json").is_file():
            raise UserError(f"Adapter {adapter}: the folder has no adapter_config.json, so it holds no PEFT adapter.")
        return peft.PeftConfig.from_pretrained(adapter)


def merge_adapter(attached: Any, adapter: str) -> "PreTrainedModel":
    """The base of a ``PeftModel`` with the adapter folded into its weights, which are 16- or 32-bit numbers.

    Where the adapter changes one of two embeddings that share their weights, they share them no longer.

    Raises:
        UserError: the adapter has no weights that could be added to the base's, or the sums are not finite.
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
    """Give the output embedding weights of its own where an adapter's change of one would change the other too."""
    from torch.nn import Parameter

    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    if not any(hasattr(end, "base_layer") for end in ends):
        return
    first, last = (getattr(end, "base_layer", end) for end in ends)
    if last is not None and last.weight is first.weight:
        last.weight = Parameter(last.weight.detach().clone(), requires_grad=False)


@contextmanager
def _quiet_peft() -> Iterator[None]:
    """Without what peft says to those who write training code."""
    with warnings.catch_warnings(category=FutureWarning, action="ignore"):  # it asks transformers by an old name
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings")  # seen to in merge_adapter
        yield


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()
