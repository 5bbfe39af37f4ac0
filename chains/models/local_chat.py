"""LangChain LLM and chat model over a transformers model on this machine."""

from collections.abc import Iterator, Sequence
from threading import Event, Lock, Thread
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list
from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
from pydantic import PrivateAttr

from chains.models.base import check_room
from chains.models.batching import in_order
from chains.models.generation import (
    Continuation,
    Decoder,
    check_finite,
    continuation_batches,
    is_truncated,
    stop_after_answer,
)
from chains.models.one_pass import apply_to_valid
from chains.models.reasoning import open_reasoning_tag
from chains.models.scoring import encode
from chains.prompts import as_dicts
from common.errors import UserError


class LocalPipeline(HuggingFacePipeline):
    """``HuggingFacePipeline`` over a ``local.LocalLLM``: greedy, batched by length, streaming without a timeout.

    The base class ends a stream after a minute without text (langchain-huggingface 1.2), but on a CPU the prompt may
    take longer. Streams are generated one at a time. Closing a stream stops generation. Prompts are texts of the chat
    template, which contain the special tokens.

    Attributes:
        local: the ``LocalLLM``.
    """

    local: Any
    _stream_lock: Lock = PrivateAttr(default_factory=Lock)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  (LangChain passes it)
        **kwargs: Any,
    ) -> LLMResult:
        local, ids = self.local, encode(self.local.tokenizer, prompts)
        stop = self._stops(stop)
        with local.guard():
            options = {"batch_tokens": local.config.batch_tokens, **self._options(stop, kwargs)}
            batches = continuation_batches(local.model, local.tokenizer, ids, **options)
            continuations: list[Continuation] = in_order(batches)
        generations = []
        for prompt_ids, continuation in zip(ids, continuations, strict=True):
            text, stopped = _cut_at_stop(continuation.text, stop)
            truncated = continuation.truncated and not stopped
            info = self._message_metadata(len(prompt_ids), continuation.tokens, truncated=truncated)
            generations.append([Generation(text=text, generation_info=info)])
        return LLMResult(generations=generations)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  (``LocalChat`` reports the tokens)
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        [ids] = encode(self.local.tokenizer, [prompt])
        stop = self._stops(stop)
        options = self._options(stop, kwargs)
        pending, stopped = "", False
        generated_ids: list[int] = []
        held_back = max(map(len, stop), default=1) - 1  # number of last characters, since they may begin a stop text
        for piece in self._pieces(ids, options, generated_ids):
            pending, stopped = _cut_at_stop(pending + piece, stop)
            ready = pending if stopped else pending[: max(len(pending) - held_back, 0)]
            pending = pending[len(ready) :]
            if ready:
                yield GenerationChunk(text=ready)
            if stopped:
                break
        if pending:
            yield GenerationChunk(text=pending)
        truncated = not stopped and is_truncated(generated_ids, self.local.model, options["max_new_tokens"])
        info = self._message_metadata(len(ids), len(generated_ids), truncated=truncated)
        yield GenerationChunk(text="", generation_info=info)

    def _message_metadata(self, prompt_tokens: int, answer_tokens: int, *, truncated: bool) -> dict[str, Any]:
        """The metadata of an answer's message."""
        total = prompt_tokens + answer_tokens
        usage = UsageMetadata(input_tokens=prompt_tokens, output_tokens=answer_tokens, total_tokens=total)
        response = {"model_name": self.model_id, "finish_reason": "length" if truncated else "stop"}
        return {"usage_metadata": usage, "response_metadata": response}

    def _stops(self, stop: list[str] | None) -> list[str]:
        """The stop texts, with those of the chat template."""
        return [*(stop or ()), *self.local.stop_texts]

    def _options(self, stop: list[str], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments of ``generate``; ``max_tokens`` replaces ``max_new_tokens``."""
        local = self.local
        return {
            "max_new_tokens": kwargs.get("max_tokens") or local.config.max_new_tokens,
            "logits_processor": check_finite(local.name, local.model.dtype),
            **({"stop_strings": stop} if stop else {}),
            **({"stopping_criteria": [stop_after_answer(*local.answer_message)]} if local.answer_message else {}),
            **kwargs.get("pipeline_kwargs", {}),
        }

    def _pieces(self, ids: list[int], options: dict[str, Any], generated_ids: list[int]) -> Iterator[str]:
        """The generated text in pieces; the ids of its tokens are appended to ``generated_ids``."""
        import torch
        from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

        local, closed = self.local, Event()
        errors: list[BaseException] = []

        class StopIfClosed(StoppingCriteria):
            def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
                return torch.full((len(input_ids),), closed.is_set(), device=input_ids.device)

        class RecordingStreamer(TextIteratorStreamer):
            def put(self, value: torch.Tensor) -> None:
                if not self.next_tokens_are_prompt:
                    generated_ids.extend(value.flatten().tolist())
                super().put(value)  # type: ignore[no-untyped-call]

        decoder: Any = Decoder(local.tokenizer)
        streamer: Any = RecordingStreamer(decoder, skip_prompt=True)
        criteria = StoppingCriteriaList([StopIfClosed(), *options.get("stopping_criteria", ())])

        def generate() -> None:
            model: Any = local.model
            prompt = torch.tensor([ids], device=local.model.device)
            try:
                with self._stream_lock, local.guard(), torch.inference_mode():
                    if closed.is_set():  # the stream was closed while this thread waited
                        return
                    model.generate(
                        input_ids=prompt,
                        attention_mask=torch.ones_like(prompt),
                        do_sample=False,
                        streamer=streamer,
                        tokenizer=local.tokenizer,
                        **{**options, "stopping_criteria": criteria},
                    )
            except BaseException as error:  # raised again in the thread that reads the stream
                errors.append(error)
            finally:
                streamer.text_queue.put(streamer.stop_signal)  # generate puts no signal after an error

        worker = Thread(target=generate, daemon=True)
        worker.start()
        try:
            yield from streamer
        finally:
            closed.set()
            worker.join()
        if errors:
            raise errors[0]


class LocalChat(ChatHuggingFace):
    """``ChatHuggingFace`` over a ``LocalPipeline``, with token counts, stop texts, real batches, and async methods.

    The base class refuses ``ainvoke`` over a pipeline, and its ``astream`` fails (langchain-huggingface 1.2). ``batch``
    of several conversations runs the pipeline, so callbacks see LLM runs instead of chat model runs. If the chat
    template opens the model's reasoning in the prompt, answers begin with that opening tag.
    """

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer all conversations in batches of similar length."""
        if len(inputs) < 2:
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        stop = kwargs.pop("stop", None)
        items: list[tuple[str, dict[str, Any], RunnableConfig] | UserError] = []
        for conversation, run_config in zip(inputs, get_config_list(config, len(inputs)), strict=True):
            try:
                prompt, options = self._request(self._convert_input(conversation).to_messages(), kwargs)
                items.append((prompt, options, run_config))
            except UserError as error:
                if not return_exceptions:
                    raise
                items.append(error)

        def answer(requests: list[tuple[str, dict[str, Any], RunnableConfig]]) -> list[Any]:
            prompts, options, configs = map(list, zip(*requests, strict=True))
            run_options: dict[str, Any] = {
                name: [run_config.get(name) for run_config in configs]
                for name in ("callbacks", "tags", "metadata", "run_name")
            }
            try:
                result = self.llm.generate(prompts, stop=self._stops(stop), **run_options, **options[0])
            except Exception as error:
                if return_exceptions:
                    return [error] * len(requests)
                raise
            generations = [candidates[0] for candidates in result.generations]
            return [self._message(generation, prompt) for generation, prompt in zip(generations, prompts, strict=True)]

        return apply_to_valid(items, answer)  # type: ignore[return-value]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  (LangChain passes it)
        stream: bool | None = None,  # noqa: ARG002  (the result is the same)
        **kwargs: Any,
    ) -> ChatResult:
        prompt, options = self._request(messages, kwargs)
        result = self.llm._generate([prompt], self._stops(stop), **options)
        return ChatResult(generations=[ChatGeneration(message=self._message(result.generations[0][0], prompt))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        stream_usage: bool | None = None,  # noqa: ARG002  (usage is always reported)
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        prompt, options = self._request(messages, kwargs)
        prepended = open_reasoning_tag(prompt)
        for piece in self.llm._stream(prompt, self._stops(stop), **options):
            message = AIMessageChunk(content=prepended + piece.text)
            prepended = ""
            if piece.generation_info:  # the last piece, without text
                message = AIMessageChunk(content="", **piece.generation_info, chunk_position="last")
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    _agenerate = BaseChatModel._agenerate  # type: ignore[assignment]
    _astream = BaseChatModel._astream

    def _request(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The prompt and the generation options; ``TooLongError`` if prompt and answer exceed the window."""
        [(prompt, ids)] = self.llm.local.prompts([as_dicts(messages)])
        options = {**kwargs, "max_tokens": kwargs.get("max_tokens") or self.max_tokens}
        max_tokens = options["max_tokens"] or self.llm.local.config.max_new_tokens
        check_room(len(ids), max_tokens, self.llm.local.window)
        return prompt, options

    def _stops(self, stop: list[str] | None) -> list[str] | None:
        stops = stop or self.stop
        return [stops] if isinstance(stops, str) else stops

    def _message(self, generation: Generation, prompt: str) -> AIMessage:
        return AIMessage(content=open_reasoning_tag(prompt) + generation.text, **(generation.generation_info or {}))


def _cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before its first stop text, and whether there is one."""
    starts = [start for stop_text in stop if (start := text.find(stop_text)) >= 0]
    return (text[: min(starts)], True) if starts else (text, False)
