"""From settings to what people talk with: agents, and chats over them or over the plain chain."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, assert_never

from common.errors import UserError
from medground.assemble import (
    Models,
    answering_chain,
    load_models,
    make_chain,
    make_retrievers,
    quotes,
    reader_note,
    reads_only_the_sample,
)
from medground.corpora import Corpus
from medground.settings import Settings

if TYPE_CHECKING:
    from chains.agent.steps import Step
    from chains.answer import Answer
    from chains.chat import Chat
    from chains.chat.writer import Writer
    from chains.models.base import LLM
    from chains.prompts import Messages
    from chains.qa.base import AnswerChain
    from chains.rewriting.followups import QuestionRewriter
    from retrievers.base import Retriever

Item = TypeVar("Item")
Result = TypeVar("Result")
QUESTION_TOKENS = 96  # that a question put self-contained by a model may take


class Share(Protocol):
    """Makes, of a function over many things, one whose callers share its passes."""

    def __call__(
        self, run: Callable[[Sequence[Item]], Sequence[Result]], /
    ) -> Callable[[Sequence[Item]], Sequence[Result]]:
        """``run``, however many callers it takes to fill a pass."""
        ...


def unshared(run: Callable[[Sequence[Item]], Sequence[Result]]) -> Callable[[Sequence[Item]], Sequence[Result]]:
    """``run`` itself: a ``Share`` for a single caller."""
    return run


def about(settings: Settings, corpus: Corpus) -> dict[str, str]:
    """What answers, for people: ``llm``, ``retriever`` and, where there is one, ``agent``."""
    quoting = quotes(settings, corpus)
    model = "none: quotes" if quoting else settings.llm.model
    told = {
        "llm": "medground-tiny" if model == "embedded" else model,
        "retriever": settings.retriever if quoting or settings.chain.context == "retrieved" else "none",
    }
    return told if settings.agent.kind == "off" else {**told, "agent": settings.agent.kind}


def make_answering(settings: Settings, corpus: Corpus, *, quiet: bool) -> "AnswerChain":
    """What answers single questions over the corpus: the agent where ``agent.kind`` names one, else the chain.

    What a reader must know (``assemble.reader_note``) is among the answers' notes.

    Raises:
        UserError: a model or the data cannot be used, or the settings leave an agent nothing to work with.
    """
    if settings.agent.kind == "off":
        chain = make_chain(settings, corpus, quiet=quiet)
    else:
        _check(settings, corpus)
        models = load_models(settings)
        chain = make_agent(settings, models, _retriever(settings, corpus, models, quiet))
    from chains.qa.base import NotedChain

    note = reader_note(settings, corpus)
    return chain if note is None else NotedChain(chain, note)


def make_chat(
    settings: Settings,
    corpus: Corpus,
    *,
    quiet: bool,
    wrap: "Callable[[AnswerChain], AnswerChain]" = lambda chain: chain,
    share: Share = unshared,
) -> "Chat":
    """The chat of section ``chat`` over the corpus: the agent where ``agent.kind`` names one, else the chain.

    Where ``chain.verify`` is ``report``, an answer is told before it is judged; with the other policies, and with an
    agent, the verdict decides what is told and comes first.

    Args:
        settings: all sections.
        corpus: what is searched.
        quiet: no progress bar.
        wrap: is given the answering chain and makes the one that is asked; a server puts its queue here.
        share: the same for what else goes through a model: judging, and putting questions self-contained.

    Raises:
        UserError: a model, the data or the conversations' file cannot be used, or the settings want a model to do what
            there is none for.
    """
    from chains.chat import Chat, Conversations
    from chains.models.base import estimated_tokens
    from chains.rewriting.followups import as_it_stands, by_rules

    _check(settings, corpus)
    config, llm_is_real = settings.chat, not reads_only_the_sample(settings.llm.model)
    if quotes(settings, corpus):
        return Chat(
            wrap(make_chain(settings, corpus, quiet=quiet)),
            Conversations(config.path),
            rewriter=as_it_stands if config.rewrite == "off" else by_rules,
            count=estimated_tokens,
            budget=config.history_tokens,
        )
    models = load_models(settings)
    chain, verifier = _answering(settings, corpus, models, share, quiet)
    rewrite = "llm" if config.rewrite == "auto" and llm_is_real else config.rewrite
    written = config.answers == "written" or (config.answers == "auto" and llm_is_real)
    return Chat(
        wrap(chain),
        Conversations(config.path),
        rewriter=_rewriter(models.answering, rewrite, share),
        verifier=verifier,
        writer=_writer(settings, models.answering) if written else None,
        count=lambda text: _tokens(models.answering, text),
        budget=_budget(settings, models.answering),
    )


def make_agent(
    settings: Settings, models: Models, retriever: "Retriever", *, tell: "Callable[[Step], None] | None" = None
) -> "AnswerChain":
    """The agent of section ``agent`` over loaded models; its answers are judged where ``chain.verify`` is on.

    ``tell`` is told each step, in place of ``agent.trace``.

    Raises:
        UserError: the trace cannot be written, or the model is to call tools and cannot.
    """
    from chains.agent.grading import Grader, by_judge, by_labels
    from chains.agent.steps import trace_to
    from chains.verification import Verifier

    config, unjudged = settings.agent, Models(models.answering)
    read: Any = partial(answering_chain, settings, unjudged, context="retrieved")
    if models.judging is None:
        decides, verify = by_labels(answering_chain(settings, unjudged, None, "gold")), None
    else:
        decides, verify = by_judge(models.judging), _one(Verifier(models.judging).verify)
    if tell is None:
        tell = trace_to(config.trace) if config.trace else lambda _: None
    evidence = Grader(decides, config.relevance)
    passages = settings.chain.passages
    match config.kind:
        case "off":
            raise UserError("There is no agent: agent.kind is off. Set it to graph or tools.")
        case "graph":
            from chains.agent.graph import GraphAgent

            reword = _reword(settings, models.answering)
            return GraphAgent(retriever, read, evidence, verify, reword, config, tell=tell, passages=passages)
        case "tools":
            from chains.agent.calling import ToolAgent

            llm = models.answering
            return ToolAgent(
                llm.chat,
                retriever,
                read,
                evidence,
                verify,
                config,
                judge=models.judging,
                tell=tell,
                passages=passages,
                clean=llm.clean,
            )
    assert_never(config.kind)


def _check(settings: Settings, corpus: Corpus) -> None:
    """See to it that there is a model for what the settings want of one, and something to search for an agent."""
    if quotes(settings, corpus):
        wanted = {
            f"agent.kind is {settings.agent.kind}": settings.agent.kind != "off",
            "chat.rewrite is llm": settings.chat.rewrite == "llm",
            "chat.answers is written": settings.chat.answers == "written",
        }
        if stated := [text for text, is_so in wanted.items() if is_so]:
            raise UserError(
                f"{' and '.join(stated)}, which takes a language model, and here passages are quoted. Set llm.model "
                "(medground-tiny reads the sample only: --data sample), or leave that out."
            )
    if settings.agent.kind != "off" and settings.chain.context != "retrieved":
        raise UserError(f"agent.kind is {settings.agent.kind}, and an agent searches. Set chain.context to retrieved.")


def _retriever(settings: Settings, corpus: Corpus, models: Models, quiet: bool) -> "Retriever":
    names = [settings.retriever]
    return make_retrievers(settings, corpus, names, llm=models.answering, quiet=quiet)[settings.retriever]


def _answering(
    settings: Settings, corpus: Corpus, models: Models, share: Share, quiet: bool
) -> "tuple[AnswerChain, Callable[[Answer], Answer] | None]":
    """What answers, and what judges afterwards where that is to come after the answer."""
    retriever = None
    if settings.chain.context == "retrieved":
        retriever = _retriever(settings, corpus, models, quiet)
        if settings.agent.kind != "off":
            return make_agent(settings, models, retriever), None
    if models.judging is None or settings.chain.verify != "report":
        return answering_chain(settings, models, retriever), None
    from chains.verification import Verifier

    return answering_chain(settings, Models(models.answering), retriever), _one(share(Verifier(models.judging).verify))


def _one(run: Callable[[Sequence[Item]], Sequence[Result]]) -> Callable[[Item], Result]:
    return lambda item: run([item])[0]


def _reword(settings: Settings, llm: "LLM") -> "Callable[..., str | None]":
    """Who puts a question in other words: the model, where it is one that can."""
    from chains.rewriting.keywords import by_keywords, by_model

    if reads_only_the_sample(settings.llm.model):
        return by_keywords
    from chains.rewriting.wordings import LLMRewriter

    return by_model(LLMRewriter(llm, settings.prompt.family))


def _rewriter(llm: "LLM", who: Literal["auto", "rules", "llm", "off"], share: Share) -> "QuestionRewriter":
    """Who makes follow-ups self-contained."""
    from langchain_core.runnables import RunnableLambda

    from chains.rewriting.followups import ByModel, as_it_stands, by_rules

    match who:
        case "auto" | "rules":
            return by_rules
        case "off":
            return as_it_stands
        case "llm":
            return ByModel(RunnableLambda(_one(share(partial(_written, llm)))), llm.clean)
    assert_never(who)


def _written(llm: "LLM", conversations: "Sequence[Messages]") -> list[str]:
    """What the model writes after each conversation; nothing after one that leaves no room for it in the window."""
    from chains.models.batching import in_order

    prompts = llm.prompts(conversations)
    fitting = [
        place
        for place, prompt in enumerate(prompts)
        if llm.window is None or llm.length(prompt) + QUESTION_TOKENS <= llm.window
    ]
    texts: list[str | UserError] = in_order(llm.write([prompts[place] for place in fitting], QUESTION_TOKENS))
    written = {place: text for place, text in zip(fitting, texts, strict=True) if isinstance(text, str)}
    return [written.get(place, "") for place in range(len(prompts))]


def _writer(settings: Settings, llm: "LLM") -> "Writer":
    """Who puts answers into sentences."""
    from chains.chat.writer import Writer, chat_model_speaker, local_speaker
    from chains.models.local import LocalLLM

    most = settings.chat.max_new_tokens
    speak = local_speaker(llm, most) if isinstance(llm, LocalLLM) else chat_model_speaker(llm.chat, most)
    return Writer(speak, llm.clean, settings.llm.system)


def _tokens(llm: "LLM", text: str) -> int:
    """The tokens of a text, those of a turn's frame among them."""
    return llm.length(llm.prompts([[{"role": "user", "content": text}]])[0])


def _budget(settings: Settings, llm: "LLM") -> int:
    """How many tokens of the conversation the model is shown: at most a quarter of its window."""
    most = settings.chat.history_tokens
    return most if llm.window is None else min(most, llm.window // 4)
