"""Answers in sentences, written by a model piece by piece."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.language_models import BaseChatModel

from chains.answer import Answer
from chains.chat.turn import Turn, said_before
from chains.prompts import Messages, written_prompt
from common.errors import UserError

if TYPE_CHECKING:
    from chains.models.local import LocalLLM


class Speaker(Protocol):
    """Continues a conversation; closing the iterator stops it."""

    def __call__(self, messages: Messages) -> Iterator[str]:
        """The assistant's next turn in pieces."""
        ...


class Writer:
    """Writes what an answer's passages say, after the turns of a conversation.

    Args:
        speak: the model.
        clean: blanks out what must not come into a prompt, see ``chains.models.prompt_sanitizing.Cleaner``.
        system: a system text of the user's own.
    """

    def __init__(self, speak: Speaker, clean: Callable[[str], str] = str, system: str | None = None) -> None:
        self._speak = speak
        self._clean = clean
        self._system = system

    def write(self, history: Sequence[Turn], answer: Answer) -> Iterator[str]:
        """The answer in sentences, in pieces as they are written."""
        clean = self._clean
        said = [(clean(user), clean(text)) for user, text in said_before(history)]
        texts = [clean(passage.text) for passage in answer.passages]
        return self._speak(written_prompt(said, clean(answer.question), texts, answer.label, system=self._system))


def chat_model_speaker(model: BaseChatModel, max_new_tokens: int) -> Speaker:
    """A LangChain chat model as a speaker."""

    def speak(messages: Messages) -> Iterator[str]:
        for chunk in model.stream(messages, max_tokens=max_new_tokens):
            if text := str(chunk.text):
                yield text

    return speak


def local_speaker(llm: "LocalLLM", max_new_tokens: int) -> Speaker:
    """A model on this machine as a speaker; its generation ends within a token of the iterator's being closed.

    It says one thing at a time: what is asked for meanwhile, from other threads, waits, as its memory need not hold for
    many.
    """
    from threading import Lock

    turn = Lock()

    def speak(messages: Messages) -> Iterator[str]:
        from threading import Event, Thread

        import torch
        from transformers import StoppingCriteria, StoppingCriteriaList, TextIteratorStreamer

        from chains.models.scoring import encode
        from chains.models.templates import render

        stopped = Event()

        class Stopped(StoppingCriteria):
            def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
                return torch.full((len(input_ids),), stopped.is_set(), device=input_ids.device)

        ids = encode(llm.tokenizer, render(llm.tokenizer, [messages]))[0]
        if llm.window is not None and len(ids) + max_new_tokens > llm.window:
            raise UserError(
                f"The answer cannot be written: the prompt takes {len(ids)} tokens, the answer up to {max_new_tokens}, "
                f"and the model's window is {llm.window}. Lower chain.passages, chat.history_tokens or "
                "chat.max_new_tokens, or set chat.answers to brief."
            )
        streamer: Any = TextIteratorStreamer(llm.tokenizer, skip_prompt=True, skip_special_tokens=True)
        failed: list[BaseException] = []

        def generate() -> None:
            model: Any = llm.model
            prompt = torch.tensor([ids], device=llm.model.device)
            try:
                with turn, llm.guard(), torch.inference_mode():
                    if stopped.is_set():  # while it waited
                        return
                    model.generate(
                        input_ids=prompt,
                        attention_mask=torch.ones_like(prompt),
                        max_new_tokens=max_new_tokens,
                        do_sample=False,
                        streamer=streamer,
                        stopping_criteria=StoppingCriteriaList([Stopped()]),
                    )
            except BaseException as error:  # raised again where the text is read
                failed.append(error)
            finally:
                streamer.end()

        worker = Thread(target=generate, daemon=True)
        worker.start()
        try:
            yield from filter(None, streamer)
        finally:
            stopped.set()
            worker.join()
        if failed:
            raise failed[0]

    return speak
