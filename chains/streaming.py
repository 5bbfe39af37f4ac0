"""A model's text piece by piece, however long a piece takes."""

from collections.abc import Iterator
from threading import Thread
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.outputs import GenerationChunk
from langchain_huggingface import HuggingFacePipeline


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
