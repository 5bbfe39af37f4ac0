"""State shared by all routes: the chat, the checker, the users and the admission of requests."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chains.chat.events import ChatEvent, DoneEvent
from chains.verification.statements import Claim, read_claim
from common.errors import UserError
from medground.service.admission import Admission
from medground.service.batching import Batcher
from medground.service.config import ServeConfig
from medground.service.metrics import Metrics
from medground.service.protocol import NEW
from medground.service.users import Users

if TYPE_CHECKING:
    from chains.chat import Chat
    from chains.verification.statements import Check

    CheckAll = Callable[[Sequence[Claim]], Sequence[Check | UserError]]


@dataclass
class Service:
    """State shared by all routes.

    Attributes:
        config: the section ``serve``.
        users: who may use the service.
        about: names of model, retriever and agent (``Pipeline.about``).
        note: shown with every answer; None for no note.
        on_close: called when the service begins to shut down.
        checker: checks statements, batched with those of other requests; None without an NLI model.
        checker_unavailable_reason: the reason if ``checker`` is None.
        chat: set after the models are loaded.
        batcher: shares the models' batches between requests.
    """

    config: ServeConfig
    users: Users
    about: dict[str, str]
    note: str | None = None
    metrics: Metrics = field(default_factory=Metrics)
    on_close: Callable[[], object] = lambda: None
    checker: "CheckAll | None" = None
    checker_unavailable_reason: str = "This service checks no statements."
    chat: "Chat" = field(init=False)
    admission: Admission = field(init=False)
    batcher: Batcher = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        self.admission = Admission(config.passes * config.batch + config.queue, config.timeout)
        self.batcher = Batcher(
            max_batch=config.batch,
            workers=config.passes,
            max_wait=config.wait_ms / 1000,
            observe=self.metrics.batches.observe,
        )
        self.metrics.gauge("active_requests", "Requests that hold a slot.", lambda: self.admission.active)
        self.metrics.gauge("waiting_questions", "Questions that wait for a pass.", lambda: self.batcher.waiting)

    def ask(
        self,
        user: str,
        conversation: str | None,
        message: str,
        earlier: Sequence[tuple[str, str]] = (),
        *,
        only_last_event: bool = False,
    ) -> AsyncGenerator[ChatEvent]:
        """Admit a message and return its events; call this method on the event loop.

        Args:
            user: the user's name.
            conversation: id of a stored conversation, ``NEW`` for a new one, None if the client sends the conversation.
            message: the newest message.
            earlier: roles and texts of the earlier messages, if the client sends the conversation.
            only_last_event: whether to leave out all events but the last.

        Raises:
            Busy: no slot is free.
            Closing: the service is shutting down.
        """
        chat = self.chat

        def stream() -> Iterator[ChatEvent]:
            if conversation is None:
                return chat.stream(chat.replayed(earlier), message)
            return chat.converse(user, None if conversation == NEW else conversation, message)

        request = self.admission.open(stream, lambda event: not only_last_event or isinstance(event, DoneEvent))
        return request.events()

    def check(self, statements: Sequence[str]) -> "AsyncGenerator[Sequence[Check | UserError]]":
        """Admit statements; the only event is their results. Call this method on the event loop.

        Raises:
            Busy: no slot is free.
            Closing: the service is shutting down.
        """
        checker, claims = self.checker, [read_claim(statement) for statement in statements]
        assert checker is not None  # the route refuses if there is no checker

        def results() -> "Iterator[Sequence[Check | UserError]]":
            checks = iter(checker([claim for claim in claims if isinstance(claim, Claim)]))
            yield [claim if isinstance(claim, UserError) else next(checks) for claim in claims]

        return self.admission.open(results).events()

    def close(self) -> None:
        """Admit no further request; call this method on the event loop."""
        self.admission.close()
        self.on_close()

    def stop(self) -> None:
        """End all threads and close the file of conversations."""
        self.admission.close()
        self.batcher.close()
        self.admission.stop()
        self.chat.conversations.close()
