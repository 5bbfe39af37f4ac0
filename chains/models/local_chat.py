"""LangChain LLM and chat model of a local model."""

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
from chains.models.generation import Continuation, Decoder, check_finite, continuation_batches, stop_at_end_of
from chains.models.reasoning import opening_of
from chains.models.templates import render
from chains.prompts import as_dicts


class LocalPipeline(HuggingFacePipeline):
    """``HuggingFacePipeline`` over a ``local.LocalLLM``: greedy, batched by length, streaming without a timeout.

    LangChain's stream ends after a minute without text (langchain-huggingface 1.2), and on a CPU the prompt may take
    longer. Streams are generated one at a time. Closing a stream ends its generation.

    Attributes:
        local: the model.
        special_tokens: whether the tokenizer adds its special tokens; the text of a chat template contains them.
    """

    local: Any
    special_tokens: bool = True
    _turn: Lock = PrivateAttr(default_factory=Lock)

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """The token ids of each prompt."""
        tokenizer = self.local.tokenizer
        ids: list[list[int]] = tokenizer(
            list(prompts), add_special_tokens=self.special_tokens, return_attention_mask=False, verbose=False
        )["input_ids"]
        return ids

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  (LangChain passes it)
        **kwargs: Any,
    ) -> LLMResult:
        local, ids = self.local, self.encode(prompts)
        stop = self._stops(stop)
        with local.guard():
            options = {"batch_tokens": local.config.batch_tokens, **self._options(stop, kwargs)}
            written: list[Continuation] = in_order(continuation_batches(local.model, local.tokenizer, ids, **options))
        generations = [
            [Generation(text=_until(one.text, stop)[0], generation_info=_usage(len(prompt), one.tokens))]
            for prompt, one in zip(ids, written, strict=True)
        ]
        return LLMResult(generations=generations)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        [ids] = self.encode([prompt])
        stop = self._stops(stop)
        held, generated = "", 0  # text that may begin a stop text; tokens so far
        most = max(map(len, stop)) if stop else 1  # length of the longest stop text
        for piece, count in self._pieces(ids, self._options(stop, kwargs)):
            generated = count
            held, stopped = _until(held + piece, stop)
            ready = held if stopped or most == 1 else held[: 1 - most]
            held = held[len(ready) :]
            if ready:
                yield _reported(GenerationChunk(text=ready), run_manager)
            if stopped:
                break
        if held:
            yield _reported(GenerationChunk(text=held), run_manager)
        yield GenerationChunk(text="", generation_info=_usage(len(ids), generated))

    def _stops(self, stop: list[str] | None) -> list[str]:
        """The stop texts, with the end-of-turn text if the chat template has no token for it."""
        return [*(stop or ()), *self.local.stop_texts]

    def _options(self, stop: list[str], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments of ``generate``; ``max_tokens`` replaces ``max_new_tokens``."""
        local = self.local
        most = kwargs.get("max_tokens") or local.config.max_new_tokens
        return {
            "max_new_tokens": most,
            "logits_processor": check_finite(local.name, local.model.dtype),
            **({"stop_strings": stop} if stop else {}),
            **({"stopping_criteria": [stop_at_end_of(*local.answer_message)]} if local.answer_message else {}),
            **kwargs.get("pipeline_kwargs", {}),
        }

    def _pieces(self, ids: list[int], options: dict[str, Any]) -> Iterator[tuple[str, int]]:
        """Each piece of text as it is generated, and the number of tokens so far."""
        import torch
        from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

        local, closed, failed, counted = self.local, Event(), [], [-len(ids)]

        class Closed(StoppingCriteria):
            def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
                return torch.full((len(input_ids),), closed.is_set(), device=input_ids.device)

        class Counting(TextIteratorStreamer):
            def put(self, value: torch.Tensor) -> None:
                counted[0] += value.numel()
                super().put(value)  # type: ignore[no-untyped-call]

        decoder: Any = Decoder(local.tokenizer)
        streamer: Any = Counting(decoder, skip_prompt=True)
        criteria = StoppingCriteriaList([Closed(), *options.get("stopping_criteria", ())])

        def generate() -> None:
            model: Any = local.model
            prompt = torch.tensor([ids], device=local.model.device)
            try:
                with self._turn, local.guard(), torch.inference_mode():
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
            except BaseException as error:  # raised again in the reading thread
                failed.append(error)
            finally:
                streamer.text_queue.put(streamer.stop_signal)  # again, in case the model did not

        worker = Thread(target=generate, daemon=True)
        worker.start()
        try:
            for text in streamer:
                yield text, max(counted[0], 0)
        finally:
            closed.set()
            worker.join()
        if failed:
            raise failed[0]


class LocalChat(ChatHuggingFace):
    """``ChatHuggingFace`` over a ``LocalPipeline``, with token counts, stop texts, real batches, and async methods.

    LangChain's class refuses ``ainvoke`` over a pipeline, and its ``astream`` fails (langchain-huggingface 1.2).
    ``batch`` of several conversations runs the pipeline, so callbacks see LLM runs there. If the chat template opens
    the model's reasoning in the prompt, the opening tag is added before the generated text.
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
        configs = get_config_list(config, len(inputs))
        prompts = [self._to_chat_prompt(self._convert_input(one).to_messages()) for one in inputs]
        stop = kwargs.pop("stop", None)
        runs: dict[str, Any] = {
            name: [one.get(name) for one in configs] for name in ("callbacks", "tags", "metadata", "run_name")
        }
        most = kwargs.pop("max_tokens", self.max_tokens)
        try:
            result = self.llm.generate(prompts, stop=self._stops(stop), max_tokens=most, **runs, **kwargs)
        except Exception as error:
            if return_exceptions:
                return [error for _ in inputs]  # type: ignore[misc]
            raise
        return [self._message(one[0], prompt) for one, prompt in zip(result.generations, prompts, strict=True)]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  (LangChain passes it)
        stream: bool | None = None,  # noqa: ARG002  (the result is the same)
        **kwargs: Any,
    ) -> ChatResult:
        prompt, options = self._asked(messages, kwargs)
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
        prompt, options = self._asked(messages, kwargs)
        before = opening_of(prompt)
        for piece in self.llm._stream(prompt, self._stops(stop), **options):
            message = AIMessageChunk(content=before + piece.text)
            before = ""
            if piece.generation_info:  # the last one
                usage, metadata = _metadata(piece), {"model_name": self.model_id}
                message = AIMessageChunk(
                    content="", usage_metadata=usage, response_metadata=metadata, chunk_position="last"
                )
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    _agenerate = BaseChatModel._agenerate  # type: ignore[assignment]
    _astream = BaseChatModel._astream

    def _to_chat_prompt(self, messages: list[BaseMessage]) -> str:
        return render(self.tokenizer, [as_dicts(messages)])[0]

    def _asked(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The prompt and the options of one answer; ``TooLongError`` if they exceed the window."""
        prompt = self._to_chat_prompt(messages)
        options = {**kwargs, "max_tokens": kwargs.get("max_tokens") or self.max_tokens}
        [ids] = self.llm.encode([prompt])
        most = options["max_tokens"] or self.llm.local.config.max_new_tokens
        check_room(len(ids), most, self.llm.local.window)
        return prompt, options

    def _stops(self, stop: list[str] | None) -> list[str] | None:
        given = stop or self.stop
        return [given] if isinstance(given, str) else given

    def _message(self, generation: Generation, prompt: str) -> AIMessage:
        return AIMessage(
            content=opening_of(prompt) + generation.text,
            usage_metadata=_metadata(generation),
            response_metadata={"model_name": self.model_id},
        )


def _until(text: str, stop: Sequence[str] | None) -> tuple[str, bool]:
    """The text before its first stop text, and whether there was one."""
    places = [place for one in stop or () if (place := text.find(one)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def _usage(prompt: int, generated: int) -> dict[str, Any]:
    return {"input_tokens": prompt, "output_tokens": generated, "total_tokens": prompt + generated}


def _reported(chunk: GenerationChunk, run_manager: CallbackManagerForLLMRun | None) -> GenerationChunk:
    if run_manager:
        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
    return chunk


def _metadata(generation: Generation) -> UsageMetadata:
    usage: UsageMetadata = generation.generation_info  # type: ignore[assignment]
    return usage
