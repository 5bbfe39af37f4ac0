"""A conversation: each message is made self-contained, answered from passages, and the answer is judged."""

from collections.abc import Callable, Iterator, Sequence

from chains.answer import Answer
from chains.chat.conversations import Conversations
from chains.chat.events import Asked, ChatEvent, Done, Given, Judged, Token
from chains.chat.history import keep
from chains.chat.turn import Turn
from chains.chat.writer import WrittenAnswers, is_written, pieces
from chains.qa.base import AnswerChain
from chains.rewriting.followups import QuestionRewriter, by_rules
from common.errors import UserError

MOST = 20_000  # characters of a message; reading longer ones for what they leave out would take seconds


class Chat:
    """Answers messages in a conversation. Its methods may be called from any number of threads.

    Args:
        chain: answers self-contained questions.
        conversations: where conversations are kept; None where none are.
        rewriter: makes messages self-contained.
        verifier: judges an answer after it was given; None where the chain does so itself, or nobody does.
        conflicts: adds conflicting evidence to a judged answer (``ConflictFinder``); None where nobody judges.
        written: writes an answer in sentences; None gives the label, or what the chain wrote.
        count: counts the tokens of a text.
        budget: how many tokens of the history rewriter and writer are shown.
    """

    def __init__(
        self,
        chain: AnswerChain,
        conversations: Conversations | None = None,
        *,
        rewriter: QuestionRewriter = by_rules,
        verifier: Callable[[Answer], Answer] | None = None,
        conflicts: Callable[[Answer], Answer] | None = None,
        written: WrittenAnswers | None = None,
        count: Callable[[str], int],
        budget: int,
    ) -> None:
        self._chain = chain
        self._conversations = conversations
        self._rewriter = rewriter
        self._verifier = verifier
        self._conflicts = conflicts
        self._written = written
        self._count = count
        self._budget = budget

    @property
    def conversations(self) -> Conversations:
        """Where conversations are kept.

        Raises:
            UserError: they are kept nowhere.
        """
        if self._conversations is None:
            raise UserError("This chat keeps no conversations.")
        return self._conversations

    def stream(self, history: Sequence[Turn], message: str) -> Iterator[ChatEvent]:
        """Answer ``message`` after the turns of ``history``; what happens, as it happens (``chains.chat.events``).

        Closing the iterator stops the answer.

        Raises:
            UserError: the message is empty or too long, or cannot be answered.
        """
        if not any(character.isprintable() and not character.isspace() for character in message):
            raise UserError("The message is empty. Write what you want to know.")
        if len(message) > MOST:
            raise UserError(
                f"The question is too long: it has {len(message)} characters, and {MOST} are the most. Ask it in fewer "
                "words."
            )
        kept = keep(history, self._count, self._budget)
        completed = self._rewriter(kept.turns, message)
        notes = tuple(note for note in (kept.note, completed.note) if note)
        yield Asked(message=message, question=completed.question, notes=notes)
        answer = self._chain.invoke(completed.question)
        told: list[str] = []
        for piece in self._told(kept.turns, answer):
            if isinstance(piece, Answer):
                answer = piece
            else:
                told.append(piece)
                yield Token(text=piece)
        text = "".join(told)
        yield Given(answer=answer)
        if self._written is not None:
            answer = self._written.verify(answer)
        if self._verifier is not None:
            answer = self._verifier(answer)
        if self._conflicts is not None and len(answer.passages) > 1:  # one passage has none, and needs no shared pass
            answer = self._conflicts(answer)
        if answer.verdict is not None or any(one.verdict is not None for one in answer.sentences):
            yield Judged(answer=answer)
        yield Done(turn=Turn(message=message, question=completed.question, text=text, answer=answer, notes=notes))

    def reply(self, history: Sequence[Turn], message: str) -> Turn:
        """The whole turn; see ``stream``."""
        return _turn(self.stream(history, message))

    def converse(self, user: str, conversation: str | None, message: str) -> Iterator[ChatEvent]:
        """``stream`` in a user's stored conversation; the turn is stored before ``Done`` is yielded.

        Args:
            user: whose conversation.
            conversation: its id, or None for a new one, which is created together with this turn.
            message: the user's message.

        Raises:
            NoConversation: the user has no conversation of this id.
            UserError: see ``stream``.
        """
        store = self.conversations
        history = store.read(user, conversation) if conversation is not None else ()
        for event in self.stream(history, message):
            if isinstance(event, Done):
                if conversation is None:
                    conversation = store.create(user, event.turn)
                else:
                    store.append(user, conversation, event.turn)
                event = event.model_copy(update={"conversation": conversation})
            yield event

    def replayed(self, messages: Sequence[tuple[str, str]]) -> list[Turn]:
        """The history of a client that brings its own, as pairs of role and text; roles but user and assistant are left
        out.

        Its questions are made self-contained by rules, whoever rewrites the newest one.
        """
        turns: list[Turn] = []
        for role, text in messages:
            if role == "user":
                turns.append(Turn(message=text, question=by_rules(turns, text).question, text=""))
            elif role == "assistant" and turns:
                turns[-1] = turns[-1].model_copy(update={"text": f"{turns[-1].text}\n{text}".strip()})
        return turns

    def _told(self, history: Sequence[Turn], answer: Answer) -> Iterator[str | Answer]:
        """The text in pieces; after a written one the answer with its sentences."""
        if self._written is not None and is_written(answer):
            return self._written.stream(history, answer)
        return iter(pieces(brief(answer)))


def brief(answer: Answer) -> str:
    """The answer's label as a sentence, or its text where it has none."""
    return f"{answer.label.capitalize()}." if answer.label is not None and answer.output is None else answer.text


def _turn(events: Iterator[ChatEvent]) -> Turn:
    for event in events:
        if isinstance(event, Done):
            return event.turn
    raise AssertionError("a stream ends with Done")
