"""Written answers: a chain of prompt and model that streams sentences with citation marks."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable

from chains.answer import Answer
from chains.chat.turn import Turn, earlier_turns
from chains.config import Verify
from chains.marks import MarkWriter, passage_numbers, without_marks
from chains.models.base import TooLongError
from chains.models.prompt_sanitizing import fence
from chains.models.reasoning import answer_pieces
from chains.prompts import answer_template, as_dicts, explanation_request, history_turns
from chains.qa.base import AnswerChain
from chains.verification.answers import withhold
from chains.verification.sentences import prune, supported, with_sentences
from common.errors import UserError
from common.fingerprints import content_key
from common.result_cache import ResultCache

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


NOT_WRITTEN = (
    "the model wrote no answer; a model that reasons first may need more tokens than chat.max_new_tokens allows"
)
TRUNCATED = "the text is incomplete: the model reached the limit of chat.max_new_tokens"
# One of these fields of a message's metadata says why the model stopped. OpenAI and Gemini use the first, Anthropic the
# second, and Ollama the third.
_FINISH_REASON_FIELDS = ("finish_reason", "stop_reason", "done_reason")
_TRUNCATION_REASONS = ("length", "max_tokens")
_WORD = re.compile(r"\S+\s*|\s+")


@dataclass
class WrittenText:
    """Facts about a text that ``Writer.write`` yields, complete after its last piece.

    ``marks`` has the removed citation numbers. ``truncated``: whether the model stopped at its token limit. ``reused``:
    whether the text came from the cache.
    """

    marks: MarkWriter
    truncated: bool = False
    reused: bool = False


class Writer:
    """Writes an answer from its passages, after the turns of a conversation.

    The prompt numbers the passages as the answer does (``marks.passage_numbers``). Bracketed numbers in passages and
    earlier turns are removed, since they refer to other texts.

    Args:
        model: a LangChain chat model, such as ``LLM.writer(...)``.
        clean: replaces special tokens in texts (``LLM.clean``).
        system: the user's system text.
        cache: stores the written texts.
        identity: everything besides the prompt that determines a text; part of the cache key.
    """

    def __init__(
        self,
        model: Runnable[Any, Any],
        clean: Callable[[str], str] = str,
        system: str | None = None,
        *,
        cache: ResultCache | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self._clean = clean
        self._template = answer_template(system)
        self._cache = cache
        self._identity = dict(identity or {})
        # No parser follows the model, since it would run the model on after the stream is closed (langchain-core 1.7).
        self.chain: Runnable[Any, Any] = self._template | model

    def write(self, history: Sequence[Turn], answer: Answer, written: WrittenText | None = None) -> Iterator[str]:
        """The answer in pieces as they are generated, with normalised citation marks and without reasoning.

        Closing the iterator stops the model. ``written`` records facts about the text.
        """
        written = written or WrittenText(MarkWriter(len(answer.passages)))
        prompt = self._prompt(history, answer)
        if self._cache is None:
            yield from written.marks.write(self._generated(prompt, written))
            return
        messages = as_dicts(self._template.format_messages(**prompt))
        key = content_key(written_text=messages, identity=self._identity)
        written.reused = key in self._cache
        if not written.reused:
            text = "".join(self._generated(prompt, written))
            self._cache.put({key: {"text": text, "truncated": written.truncated}})
        written.truncated = self._cache[key]["truncated"]
        yield from written.marks.write([self._cache[key]["text"]])

    def _generated(self, prompt: dict[str, Any], written: WrittenText) -> Iterator[str]:
        def texts() -> Iterator[str]:
            for chunk in self.chain.stream(prompt):
                written.truncated = written.truncated or _is_truncated(chunk)
                yield chunk if isinstance(chunk, str) else str(chunk.text)

        yield from answer_pieces(texts())

    def _prompt(self, history: Sequence[Turn], answer: Answer) -> dict[str, Any]:
        """The variables of the prompt."""
        clean, numbers = self._clean, passage_numbers(answer.passages)
        # Marks are removed after cleaning, which turns "[<pad>1]" into a mark.
        texts = [without_marks(clean(one.text_for_model)) for one in answer.passages]
        return {
            "history": history_turns([(clean(user), clean(text)) for user, text in earlier_turns(history)]),
            "passages": fence(texts, [numbers[one.id] for one in answer.passages]),
            "question": clean(answer.question),
            "decision": explanation_request(answer.label),
        }


@dataclass(frozen=True)
class WrittenAnswers:
    """Writes answers in sentences with citations, and applies the policy for unsupported sentences.

    Args:
        writer: writes the text.
        verifier: adds a verdict to each sentence (``SentenceVerifier``); None for no verdicts.
        policy: ``chain.verify``. ``off`` and ``report`` return every text; with ``report``, ``verify`` adds verdicts
            afterwards. ``prune`` removes unsupported sentences, and withholds an answer if no sentence remains.
            ``abstain`` withholds an answer with an unsupported sentence. ``retry`` writes such an answer again from the
            passages of each chain of ``wider``, until they exceed the model's window. It returns the first text whose
            sentences are all supported; if there is none, it returns the first text.
        wider: for ``retry``, chains that read more passages than the first one. The chain with the fewest comes first.
        embedder: attributes sentences to passages by meaning if there is no verifier.
    """

    writer: Writer
    verifier: Callable[[Answer], Answer] | None = None
    policy: Verify = "off"
    wider: Sequence[AnswerChain] = ()
    embedder: "Embeddings | None" = None

    def stream(self, history: Sequence[Turn], answer: Answer) -> Iterator[str | Answer]:
        """The text in pieces, then the answer that contains it.

        If the policy may change the text, streaming only starts once the whole text is written and verified.
        """
        if self.policy in ("off", "report"):
            yield from self._stream_text(history, answer)
            return
        answer = self._write_and_verify(history, answer)
        answer = self._retry(history, answer) if self.policy == "retry" else apply_policy(answer, self.policy)
        yield from split_words(answer.text)
        yield answer

    def write_all(self, answers: Sequence[Answer]) -> list[Answer | UserError]:
        """Each answer with its written text; an answer that is withheld or has no passages stays unchanged."""
        return [self._write_one(answer) if can_be_written(answer) else answer for answer in answers]

    def verify(self, answer: Answer) -> Answer:
        """The answer, with verdicts on its sentences if the policy is ``report``."""
        return self.verifier(answer) if self.verifier is not None and self.policy == "report" else answer

    def _stream_text(self, history: Sequence[Turn], answer: Answer) -> Iterator[str | Answer]:
        written, text = WrittenText(MarkWriter(len(answer.passages))), ""
        for piece in self.writer.write(history, answer, written):
            text += piece
            yield piece
        notes = [*written.marks.notes]
        if not any(map(str.isalnum, without_marks(text))):
            notes.append(NOT_WRITTEN)
        elif written.truncated:
            notes.append(TRUNCATED)
        answer = answer.noted(*notes, text=text, reused=answer.reused and written.reused, truncated=written.truncated)
        yield with_sentences(answer, self.embedder, attribute=self.verifier is None)

    def _write_one(self, answer: Answer) -> Answer | UserError:
        try:
            *_, written = self.stream((), answer)
        except UserError as error:
            return error
        assert isinstance(written, Answer)
        return self.verify(written)

    def _write_and_verify(self, history: Sequence[Turn], answer: Answer) -> Answer:
        *_, written = self._stream_text(history, answer)
        assert isinstance(written, Answer)
        return self.verifier(written) if self.verifier is not None else written

    def _retry(self, history: Sequence[Turn], first: Answer) -> Answer:
        if all(map(supported, first.sentences)):
            return first
        max_read = len(first.passages)  # the largest number of passages of a text so far
        reused = first.reused
        outcome = "no more passages"
        for chain in self.wider:
            answer = chain.invoke(first.question)
            if len(answer.passages) <= max_read:
                continue
            try:
                rewritten = self._write_and_verify(history, answer)
            except TooLongError:  # prompts with still more passages do not fit either
                if max_read == len(first.passages):
                    outcome = "more passages do not fit the model's window"
                break
            max_read, reused = len(answer.passages), reused and rewritten.reused
            if rewritten.sentences and all(map(supported, rewritten.sentences)):
                note = f"written again from {max_read} passages: not every sentence of the first text was supported"
                return rewritten.noted(note, reused=reused)
            outcome = f"written again from up to {max_read} passages"
        return first.noted(f"{outcome}: not every sentence was supported", reused=reused)


def _is_truncated(chunk: Any) -> bool:
    """Whether the metadata of a message chunk report that the model stopped at its token limit."""
    metadata = getattr(chunk, "response_metadata", {})  # the chunks of a LangChain LLM are texts without metadata
    return any(str(metadata.get(field)).lower() in _TRUNCATION_REASONS for field in _FINISH_REASON_FIELDS)


def apply_policy(answer: Answer, policy: Verify) -> Answer:
    """Prune or withhold a verified answer, or return it unchanged, as the policy requires."""
    if policy == "prune":
        pruned = prune(answer)
        return pruned if pruned.sentences or not answer.sentences else withhold(answer)
    if policy == "abstain" and not all(map(supported, answer.sentences)):
        return withhold(answer)
    return answer


def split_words(text: str) -> list[str]:
    """A text split into words with their trailing white space."""
    return _WORD.findall(text)


def can_be_written(answer: Answer) -> bool:
    """Whether a text can be written for this answer: it has passages and is not withheld."""
    return bool(answer.passages) and answer.withheld is None
