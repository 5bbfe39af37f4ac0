"""One loaded base for two jobs: answering without an adapter and judging with it."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from threading import RLock
from typing import Any, NamedTuple

from chains.models.adapters import adapter_tokenizer, add_adapter
from chains.models.local import LocalLLM, fit_tokenizer
from common.errors import UserError


class SharedBase(NamedTuple):
    """Two models over one set of weights; see ``share_base``."""

    answering: LocalLLM
    judging: LocalLLM


def share_base(llm: LocalLLM, adapter: str) -> SharedBase:
    """Two models over one base: ``answering`` is ``llm`` as it was, ``judging`` has the adapter on.

    Both run the same weights; only the adapter's are loaded in addition. Their ``guard`` switches the adapter and locks
    out the other job until the pass is over, so any number of threads may call both. Outside a guard the adapter is
    off. The packed weights and the fingerprint of ``answering`` are made here, before the base gets the adapter's
    layers.

    Args:
        llm: loaded without an adapter; use it through the two models only from now on.
        adapter: folder or hub id of a PEFT adapter made for this base.

    Raises:
        UserError: ``llm`` has an adapter already, merged or not (``adapter`` was not made for that model); or the
            adapter is absent or does not fit. ``llm`` is left as it was.
    """
    if llm.config.adapter is not None or hasattr(llm.model, "peft_config"):
        there = llm.config.adapter or "another"
        raise UserError(
            f"Adapter {adapter} cannot join the adapter {there} on one base. Leave llm.adapter out, or merge it with "
            "`medground merge`, name the result in llm.model, and use an adapter that was trained on that."
        )
    packed = llm.packed
    fingerprint = llm.fingerprint if llm.cache is not None else None
    tokenizer = adapter_tokenizer(adapter, copy.deepcopy(llm.tokenizer))
    attached = add_adapter(llm.model, adapter, merge=False, base=llm.name, resize=False)
    fit_tokenizer(tokenizer, attached)
    switch = _Switch(attached)
    answering = replace(llm, guard=partial(switch.hold, on=False))
    vars(answering)["packed"] = packed
    if fingerprint is not None:
        vars(answering)["fingerprint"] = fingerprint
    judging = replace(
        llm,
        model=attached,
        tokenizer=tokenizer,
        config=llm.config.model_copy(update={"adapter": adapter}),
        guard=partial(switch.hold, on=True),
    )
    return SharedBase(answering, judging)


class _Switch:
    """Switches a ``PeftModel``'s adapter on or off for one thread at a time."""

    def __init__(self, model: Any) -> None:
        # An adapter of learned prompts has no layers in the base: it is on in the PeftModel and nowhere else.
        self._layers = model.base_model if hasattr(model.base_model, "enable_adapter_layers") else None
        self._lock = RLock()
        self._on = False
        self._put(False)

    @contextmanager
    def hold(self, on: bool) -> Iterator[None]:
        """Hold the adapter on or off, against other threads; guards may be nested."""
        with self._lock:
            before = self._on
            try:
                if on != before:
                    self._put(on)
                yield
            finally:
                if self._on != before:
                    self._put(before)

    def _put(self, on: bool) -> None:
        self._on = on
        if self._layers is not None:
            self._layers.enable_adapter_layers() if on else self._layers.disable_adapter_layers()
