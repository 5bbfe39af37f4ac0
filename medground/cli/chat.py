"""``medground chat``: a conversation in the terminal."""

import sqlite3
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from medground.cli import options
from medground.cli.app import app
from medground.cli.show import plain, print_evidence, print_notes, print_passages, print_verdicts, say

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
    go_on: Annotated[bool, typer.Option("--continue", help="Continue your latest conversation.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Chat in the terminal: follow-up questions are understood in context.

    Each answer has its quotes and, with chain.verify, its verdict. Conversations are stored (chat.path) until you
    delete them. Messages can be piped in, one a line. /help lists the commands.

    It searches your indexed documents if there are any and --data is not given, else the abstracts of the data.
    """
    settings = options.make_settings(config, overrides, data=data)
    pipeline = options.make_pipeline(settings, data, quiet)
    talk = pipeline.chat()
    if pipeline.note is not None:
        say(pipeline.note)
    say(" · ".join(f"{key}: {value}" for key, value in pipeline.about.items()))
    say(f"Conversations of {settings.chat.user} are stored in {settings.chat.path}. /help lists the commands.")
    session = _Session(talk, settings.chat.user)
    try:
        if go_on:
            session.go_on()
        session.run()
    finally:
        talk.conversations.close()


class _Session:
    """A terminal session with its current conversation."""

    def __init__(self, chat: "Chat", user: str) -> None:
        self._chat = chat
        self._user = user
        self._conversation: str | None = None
        self._passages: tuple[Passage, ...] = ()

    def run(self) -> None:
        """Read lines until the end of input; user errors are printed."""
        from common.errors import UserError

        while (line := self._line()) is not None:
            try:
                if line.startswith("/"):
                    if not self._command(*line[1:].split(maxsplit=1)):
                        return
                elif line:
                    self._ask(line)
            except UserError as error:
                say(f"medground: {error}")
            except sqlite3.Error as error:  # such as a full disk
                say(f"medground: the conversations' file (chat.path): {error}. The last turn may not be stored.")
            except KeyboardInterrupt:
                say("\ninterrupted: the answer is not stored")

    def go_on(self) -> None:
        """Continue the latest conversation, if there is one."""
        if there := self._chat.conversations.list(self._user):
            self._open(there[0])

    def _line(self) -> str | None:
        try:
            return input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return None
        except KeyboardInterrupt:
            say("")
            return None

    def _ask(self, message: str) -> None:
        """Answer a message; the first answer creates the conversation."""
        from chains.chat.events import AnswerEvent, DoneEvent, QuestionEvent, TokenEvent, VerdictEvent

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

    def _command(self, name: str = "", rest: str = "") -> bool:
        """Run a command; False ends the session."""
        match name:
            case "quit" | "exit" | "q":
                return False
            case "new":
                self._conversation = None
                typer.echo("Your next message starts a new conversation.")
            case "list":
                self._list()
            case "open":
                self._open(self._named(rest))
            case "delete":
                self._delete(rest)
            case "passages":
                print_passages(self._passages) if self._passages else typer.echo("There are none yet.")
            case "help":
                typer.echo(HELP)
            case _:
                say(f"There is no command /{plain(name)}.\n{HELP}")
        return True

    def _list(self) -> None:
        there = self._chat.conversations.list(self._user)
        for number, one in enumerate(there, start=1):
            here = "*" if one.id == self._conversation else " "
            turns = "1 turn" if one.turns == 1 else f"{one.turns} turns"
            typer.echo(
                f"{here}{number}. {plain(one.title) or '(no message yet)'}  {turns}, {one.updated[:16]}, {one.id}"
            )
        if not there:
            typer.echo("There are no conversations yet.")

    def _open(self, one: "Summary") -> None:
        self._conversation = one.id
        for turn in self._chat.conversations.read(self._user, one.id):
            typer.echo(f"> {plain(turn.message)}\n{plain(turn.text)}\n")

    def _delete(self, which: str) -> None:
        id = self._named(which).id if which else self._conversation
        if id is None:
            typer.echo("There is no current conversation. /list shows your conversations, /delete N deletes one.")
            return
        self._chat.conversations.delete(self._user, id)
        if id == self._conversation:
            self._conversation = None
        typer.echo("Deleted.")

    def _named(self, which: str) -> "Summary":
        """A conversation by its number in the list or its id."""
        from common.errors import UserError

        there = self._chat.conversations.list(self._user)
        for number, one in enumerate(there, start=1):
            if which.strip() in (str(number), one.id):
                return one
        raise UserError(f"There is no conversation {which.strip()!r}. /list shows your conversations.")
