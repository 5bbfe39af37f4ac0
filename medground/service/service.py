"""What the API and the page share: the chat, the users, and the desk that takes messages in."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chains.chat.events import ChatEvent, Done
from medground.service.batching import BatchedChain, Passes
from medground.service.config import ServeConfig
from medground.service.desk import Desk
from medground.service.metrics import Metrics
from medground.service.protocol import NEW
from medground.service.users import Users

if TYPE_CHECKING:
    from chains.chat import Chat
    from chains.runnable import AnswerChain


@dataclass
class Asked:
    """A request taken in; ``conversation`` is the stored one that it belongs to, known when the first event is."""

    conversation: str | None
    events: AsyncGenerator[ChatEvent] = field(init=False)


@dataclass
class Service:
    """All that the routes share.

    Attributes:
        config: the section ``serve``.
        users: who may ask.
        about: what answers, for ``/v1/models`` and the page, see ``assistant.about``.
        note: what a reader of every answer must know; None where there is nothing.
        chat: set when the models are loaded.
        passes: what goes through the models goes through these.
        at_close: called when the service begins to end.
    """

    config: ServeConfig
    users: Users
    about: dict[str, str]
    note: str | None = None
    metrics: Metrics = field(default_factory=Metrics)
    at_close: list[Callable[[], None]] = field(default_factory=list)
    chat: "Chat" = field(init=False)
    desk: Desk = field(init=False)
    passes: Passes = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        self.desk = Desk(config.passes * config.batch + config.queue, config.timeout)
        self.passes = Passes(
            most=config.batch, passes=config.passes, wait=config.wait_ms / 1000, observe=self.metrics.batch
        )

    def wrap(self, chain: "AnswerChain") -> BatchedChain:
        """The chain with the queue before it, as ``make_chat`` wants it."""
        return BatchedChain(chain, self.passes)

    def ask(self, user: str, conversation: str | None, message: str, said: Sequence[tuple[str, str]] = ()) -> "Asked":
        """Take a message in; it must be called on the event loop.

        Args:
            user: who asks.
            conversation: the id of a kept one, ``NEW`` to begin one, None for one that the client carries.
            message: the newest message.
            said: roles and texts before it, of a conversation that the client carries.

        Raises:
            Busy: there is no room.
            Closing: the service is being stopped.
        """
        asked, chat = Asked(conversation), self.chat

        def stream() -> Iterator[ChatEvent]:
            if asked.conversation is None:
                yield from chat.stream(chat.replayed(said), message)
                return
            for event in chat.converse(user, None if asked.conversation == NEW else asked.conversation, message):
                if isinstance(event, Done):
                    asked.conversation = event.conversation
                yield event

        asked.events = self.desk.open(stream).events()
        return asked

    def close(self) -> None:
        """Take nothing in any more; it must be called on the event loop."""
        self.desk.close()
        for call in self.at_close:
            call()

    def stop(self) -> None:
        """End all threads and close the conversations' file."""
        self.desk.close()
        self.passes.close()
        self.desk.stop()
        self.chat.conversations.close()
