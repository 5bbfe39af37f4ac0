"""``medground chat``: a conversation in the terminal."""

import sqlite3
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import UserError
from medground.cli import options
from medground.cli.app import app
from medground.cli.show import plain, print_err, print_evidence, print_notes, print_passages, print_verdicts

if TYPE_CHECKING:
    from chains.answer import Passage
    from chains.chat import Chat, Summary

HELP = """\
Ask a question, then follow-up questions. Commands:
  /new          start a new conversation
  /list         list your conversations
  /open N       continue a conversation, by its number in the list or its id
  /delete [N]   delete a conversation permanently; without N the current one
  /passages     show the full passages of the last answer
  /help         show this help
  /quit         quit (as does the end of input)"""


@app.command()
def chat(
    config: options.ConfigFile = None,
    overrides: options.Overrides = None,
    data: options.Data = None,
    continue_latest: Annotated[bool, typer.Option("--continue", help="Continue your latest conversation.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Chat in the terminal: follow-up questions are understood in context.

    Each answer has its quotes and, with chain.verify, its verdict. Conversations are stored (chat.path) until you
    delete them. Messages can be piped in, one a line. /help lists the commands.

    It searches your indexed documents if there are any and --data is not given, else the abstracts of the data.
    """
    settings = options.make_settings(config, overrides, data=data)
    pipeline = options.make_pipeline(settings, data, quiet)
    session = _Session(pipeline.chat(), settings.chat.user)
    print_err(pipeline.note)
    print_err(" · ".join(f"{key}: {value}" for key, value in pipeline.about.items()))
    print_err(f"Conversations of {settings.chat.user} are stored in {settings.chat.path}. /help lists the commands.")
    try:
        if continue_latest:
            session.open_latest()
        session.run()
    finally:
        session.close()


class _Session:
    """A terminal session: the current conversation, and the passages of its last answer."""

    def __init__(self, chat: "Chat", user: str) -> None:
        self._chat = chat
        self._user = user
        self._conversation: str | None = None
        self._passages: tuple[Passage, ...] = ()

    def run(self) -> None:
        """Read lines until the end of input or ``/quit``; user errors are printed."""
        while (line := self._line()) is not None:
            try:
                if line.startswith("/"):
                    if not self._command(*line[1:].split(maxsplit=1)):
                        return
                elif line:
                    self._ask(line)
            except UserError as error:
                print_err(f"medground: {error}")
            except sqlite3.Error as error:  # such as a full disk
                print_err(f"medground: the conversations' file (chat.path): {error}. The last turn may not be stored.")
            except KeyboardInterrupt:
                print_err("\ninterrupted: the answer is not stored")

    def open_latest(self) -> None:
        """Continue the latest conversation, if there is one."""
        if conversations := self._chat.conversations.list(self._user):
            self._open(conversations[0])

    def close(self) -> None:
        """Close the file of conversations."""
        self._chat.conversations.close()

    def _line(self) -> str | None:
        try:
            return input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return None
        except KeyboardInterrupt:
            print_err("")
            return None

    def _ask(self, message: str) -> None:
        """Answer a message; the first answer creates the conversation."""
        from chains.chat.events import AnswerEvent, DoneEvent, QuestionEvent, TokenEvent, VerdictEvent

        message = options.validated_text(message)
        for event in self._chat.converse(self._user, self._conversation, message):
            match event:
                case QuestionEvent():
                    print_notes(event.notes)
                case TokenEvent():
                    typer.echo(plain(event.text), nl=False)
                    sys.stdout.flush()
                case AnswerEvent():
                    typer.echo()
                    self._passages = event.answer.passages
                    print_evidence(event.answer)
                case VerdictEvent():
                    print_verdicts(event.answer)
                case DoneEvent():
                    self._conversation = event.conversation
                    print_notes(event.turn.answer.notes if event.turn.answer else ())
                    typer.echo()

    def _command(self, name: str = "", argument: str = "") -> bool:
        """Run a command; False ends the session."""
        match name:
            case "quit" | "exit" | "q":
                return False
            case "new":
                self._close_conversation()
                typer.echo("Your next message starts a new conversation.")
            case "list":
                self._list()
            case "open":
                self._open(self._find(argument))
            case "delete":
                self._delete(argument)
            case "passages":
                print_passages(self._passages) if self._passages else typer.echo("There are none yet.")
            case "help":
                typer.echo(HELP)
            case _:
                print_err(f"There is no command /{name}.\n{HELP}")
        return True

    def _list(self) -> None:
        conversations = self._chat.conversations.list(self._user)
        for number, summary in enumerate(conversations, start=1):
            mark = "*" if summary.id == self._conversation else " "
            title = plain(summary.title) or "(no message yet)"
            turns = "1 turn" if summary.turns == 1 else f"{summary.turns} turns"
            minute = summary.updated[:16]  # without seconds
            typer.echo(f"{mark}{number}. {title}  {turns}, {minute}, {summary.id}")
        if not conversations:
            typer.echo("There are no conversations yet.")

    def _open(self, summary: "Summary") -> None:
        turns = self._chat.conversations.read(self._user, summary.id)
        self._conversation = summary.id
        last = turns[-1].answer if turns else None
        self._passages = last.passages if last is not None else ()
        for turn in turns:
            typer.echo(f"> {plain(turn.message)}\n{plain(turn.text)}\n")

    def _close_conversation(self) -> None:
        """Leave the current conversation and its passages."""
        self._conversation, self._passages = None, ()

    def _delete(self, number_or_id: str) -> None:
        from chains.chat.conversations import NotErased

        id = self._find(number_or_id).id if number_or_id else self._conversation
        if id is None:
            typer.echo("There is no current conversation. /list shows your conversations, /delete N deletes one.")
            return
        try:
            self._chat.conversations.delete(self._user, id)
            typer.echo("Deleted.")
        except NotErased as error:
            print_err(f"medground: {error}")
        if id == self._conversation:
            self._close_conversation()

    def _find(self, number_or_id: str) -> "Summary":
        """The conversation with this number in the list, or with this id."""
        wanted = number_or_id.strip()
        for number, summary in enumerate(self._chat.conversations.list(self._user), start=1):
            if wanted in (str(number), summary.id):
                return summary
        raise UserError(f"There is no conversation {wanted!r}. /list shows your conversations.")
