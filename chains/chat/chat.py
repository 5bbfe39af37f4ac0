"""A conversation: makes each message self-contained, answers it from passages and verifies the answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass

from chains.answer import Answer
from chains.chat.conversations import Conversations
from chains.chat.events import AnswerEvent, ChatEvent, DoneEvent, QuestionEvent, TokenEvent, VerdictEvent
from chains.chat.turn import Turn, truncate_history
from chains.chat.writer import WrittenAnswers, can_be_written, split_words
from chains.qa.base import AnswerChain
from chains.rewriting.followups import QuestionRewriter, by_rules
from common.errors import UserError
from retrievers.base import is_blank

MAX_CHARACTERS = 20_000  # of a message; a longer text is a document, not a question


@dataclass(eq=False)
class Chat:
    """Answers messages in a conversation. Its methods may be called from any number of threads.

    Args:
        chain: answers self-contained questions.
        store: the stored conversations; None if this chat stores none.
        rewriter: makes messages self-contained.
        verifier: verifies an answer after its text was sent; None if the chain verifies it, or nothing does.
        conflicts: adds conflicting evidence to a verified answer (``add_conflicts``); None if answers are not verified.
        written: writes answers in sentences; if None, the reply is the label or the chain's text (``brief``).
        count: counts the tokens of a text.
        budget: the maximum number of history tokens for rewriter and writer.
    """

    chain: AnswerChain
    store: Conversations | None = None
    _: KW_ONLY
    rewriter: QuestionRewriter = by_rules
    verifier: Callable[[Answer], Answer] | None = None
    conflicts: Callable[[Answer], Answer] | None = None
    written: WrittenAnswers | None = None
    count: Callable[[str], int]
    budget: int

    @property
    def conversations(self) -> Conversations:
        """The stored conversations; ``UserError`` if this chat stores none."""
        if self.store is None:
            raise UserError("This chat stores no conversations.")
        return self.store

    def stream(self, history: Sequence[Turn], message: str) -> Iterator[ChatEvent]:
        """Answer ``message`` after the turns of ``history`` and yield ``chains.chat.events``.

        Closing the iterator stops generation. ``UserError`` is raised if the message is empty, too long or cannot be
        answered.
        """
        if is_blank(message):
            raise UserError("The message is empty. Write what you want to know.")
        if len(message) > MAX_CHARACTERS:
            raise UserError(
                f"The question is too long: it has {len(message):,} characters, the maximum is {MAX_CHARACTERS:,}. "
                "Shorten it."
            )
        history, truncation = truncate_history(history, self.count, self.budget)
        rewritten = self.rewriter(history, message)
        notes = tuple(note for note in (truncation, rewritten.note) if note)
        yield QuestionEvent(message=message, question=rewritten.question, notes=notes)
        answer = self.chain.invoke(rewritten.question)
        text = ""
        for piece in self._pieces(history, answer):
            if isinstance(piece, Answer):
                answer = piece
            else:
                text += piece
                yield TokenEvent(text=piece)
        yield AnswerEvent(answer=answer)
        if self.written is not None:
            answer = self.written.verify(answer)
        if self.verifier is not None:
            answer = self.verifier(answer)
        if self.conflicts is not None and len(answer.passages) > 1:  # one passage alone has no conflict
            answer = self.conflicts(answer)
        if answer.verdict is not None or any(one.verdict is not None for one in answer.sentences):
            yield VerdictEvent(answer=answer)
        yield DoneEvent(turn=Turn(message=message, question=rewritten.question, text=text, answer=answer, notes=notes))

    def reply(self, history: Sequence[Turn], message: str) -> Turn:
        """The whole turn; see ``stream``."""
        return next(event.turn for event in self.stream(history, message) if isinstance(event, DoneEvent))

    def converse(self, user: str, conversation: str | None, message: str) -> Iterator[ChatEvent]:
        """``stream`` in a user's stored conversation; the turn is stored before ``DoneEvent`` is yielded.

        If ``conversation`` is None, a new conversation is created with the turn.
        """
        store = self.conversations
        history = store.read(user, conversation) if conversation is not None else ()
        for event in self.stream(history, message):
            if isinstance(event, DoneEvent):
                if conversation is None:
                    conversation = store.create(user, event.turn)
                else:
                    store.append(user, conversation, event.turn)
                event = event.model_copy(update={"conversation": conversation})
            yield event

    def replayed(self, messages: Sequence[tuple[str, str]]) -> list[Turn]:
        """The turns of a history that the client sends as pairs of role and text.

        Roles other than user and assistant are ignored. Rules make the questions self-contained, even if another
        rewriter handles the newest message.
        """
        turns: list[Turn] = []
        for role, text in messages:
            if role == "user":
                turns.append(Turn(message=text, question=by_rules(turns, text).question, text=""))
            elif role == "assistant" and turns:
                turns[-1] = turns[-1].model_copy(update={"text": f"{turns[-1].text}\n{text}".strip()})
        return turns

    def _pieces(self, history: Sequence[Turn], answer: Answer) -> Iterator[str | Answer]:
        """The text in pieces; if it was written, the answer that contains it follows."""
        if self.written is not None and can_be_written(answer):
            return self.written.stream(history, answer)
        return iter(split_words(brief(answer)))


def brief(answer: Answer) -> str:
    """The answer's label as a sentence; the answer's text if it has no label or the label was generated."""
    return f"{answer.label.capitalize()}." if answer.label is not None and answer.output is None else answer.text
