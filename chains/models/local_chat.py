"""A model's text piece by piece, however long a piece takes."""

from collections.abc import AsyncIterator, Iterator
from threading import Thread
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, GenerationChunk
from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline


class PatientPipeline(HuggingFacePipeline):
    """LangChain's wrapper with a stream that waits for the model, and raises what the model raises.

    LangChain's own gives up after a minute without text (langchain-huggingface 1.2), which a model on a processor may
    well need to read its prompt, or a model that another thread is using.
    """

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        from transformers import TextIteratorStreamer

        skip_prompt = kwargs.get("skip_prompt", True)
        streamer = TextIteratorStreamer(self.pipeline.tokenizer, skip_prompt=skip_prompt, skip_special_tokens=True)
        options = {**kwargs.get("pipeline_kwargs", {}), **({"stop_sequence": stop} if stop else {})}
        failed: list[BaseException] = []

        def generate() -> None:
            try:
                self.pipeline(prompt, streamer=streamer, **options)
            except BaseException as error:
                failed.append(error)
            finally:
                streamer.text_queue.put(streamer.stop_signal)  # also where the model never came to put it there

        Thread(target=generate).start()
        for text in streamer:
            chunk = GenerationChunk(text=text)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
        if failed:
            raise failed[0]


class PatientChat(ChatHuggingFace):
    """LangChain's chat model over a pipeline, in an event loop too: the model works in a thread.

    LangChain's own refuses ``ainvoke`` over a pipeline, and its ``astream`` breaks (langchain-huggingface 1.2).
    """

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        stream: bool | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await BaseChatModel._agenerate(self, messages, stop, run_manager, stream=stream, **kwargs)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        stream_usage: bool | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chunks = BaseChatModel._astream(self, messages, stop, run_manager, stream_usage=stream_usage, **kwargs)
        async for chunk in chunks:
            yield chunk
