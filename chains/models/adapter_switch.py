"""One base model with an adapter that is switched on for NLI and off for answering."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from threading import RLock
from typing import Any, NamedTuple

from chains.models.adapters import adapter_tokenizer, add_adapter, read_adapter
from chains.models.local import LocalLLM, fit_tokenizer
from common.errors import UserError


class SharedBase(NamedTuple):
    """Two models that share the weights of one base; see ``share_base``."""

    answering: LocalLLM
    judging: LocalLLM


def share_base(llm: LocalLLM, adapter: str) -> SharedBase:
    """Load an NLI adapter into ``llm``: ``answering`` runs without it, ``judging`` with it.

    Each forward pass locks the adapter on or off, so any number of threads may call both models. Between passes the
    adapter is off. ``LocalLLM.packed`` and the fingerprint of ``answering`` are computed before the adapter is
    attached.

    Args:
        llm: a model loaded without an adapter; use only the result after this call.
        adapter: folder or hub id of a PEFT adapter for this base.

    Raises:
        UserError: ``llm`` already has an adapter, merged or not; or ``adapter`` is absent, does not fit or changes the
            biases of ``llm``. After an error, ``llm`` is unchanged.
    """
    if llm.config.adapter is not None or hasattr(llm.model, "peft_config"):
        loaded = llm.config.adapter or "another adapter"
        raise UserError(
            f"The model already has {loaded}, so {adapter} cannot be loaded beside it. Remove llm.adapter, or merge "
            "it with `medground merge`, set llm.model to the result and use an adapter trained on that model."
        )
    if (bias := getattr(read_adapter(adapter), "bias", "none")) != "none":
        raise UserError(
            f"Adapter {adapter} was trained with bias {bias}: it replaces biases of the model, also while questions "
            "are answered. Choose an adapter trained with bias none."
        )
    packed = llm.packed
    fingerprint = llm.fingerprint if llm.cache is not None else None
    tokenizer = adapter_tokenizer(adapter, copy.deepcopy(llm.tokenizer))
    attached = add_adapter(llm.model, adapter, merge=False, base=llm.name, resize=False)
    fit_tokenizer(tokenizer, attached)
    switch = _AdapterSwitch(attached)
    answering = replace(llm, guard=partial(switch.locked, on=False))
    vars(answering)["packed"] = packed
    if fingerprint is not None:
        vars(answering)["fingerprint"] = fingerprint
    judging = replace(
        llm,
        model=attached,
        tokenizer=tokenizer,
        config=llm.config.model_copy(update={"adapter": adapter}),
        guard=partial(switch.locked, on=True),
    )
    return SharedBase(answering, judging)


class _AdapterSwitch:
    """Switches a ``PeftModel``'s adapter on or off, for one thread at a time."""

    def __init__(self, model: Any) -> None:
        # With a prompt-tuning adapter, ``base_model`` is the plain base model, without adapter layers to switch.
        self._tuner = model.base_model if hasattr(model.base_model, "enable_adapter_layers") else None
        self._lock = RLock()
        self._on = False
        self._set(False)

    @contextmanager
    def locked(self, on: bool) -> Iterator[None]:
        """Keep the adapter on or off and other threads out; calls may be nested in one thread."""
        with self._lock:
            previous = self._on
            try:
                if on != previous:
                    self._set(on)
                yield
            finally:
                if self._on != previous:
                    self._set(previous)

    def _set(self, on: bool) -> None:
        self._on = on
        if self._tuner is not None:
            self._tuner.enable_adapter_layers() if on else self._tuner.disable_adapter_layers()
