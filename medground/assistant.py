"""From settings to what people talk with: agents, and chats over them or over the plain chain."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, assert_never

from corpus.errors import UserError
from medground.assemble import Models, answering_chain, load_models, make_chain, make_retrievers, quotes
from medground.corpora import Corpus
from medground.settings import Settings

if TYPE_CHECKING:
    from chains.agent.steps import Step
    from chains.answer import Answer
    from chains.chat import Chat
    from chains.chat.rewriters import QuestionRewriter
    from chains.chat.writer import Writer
    from chains.model import LLM
    from chains.prompts import Messages
    from chains.runnable import AnswerChain
    from chains.verifier import Verifier
    from retrievers.base import Retriever

QUESTION_TOKENS = 96  # that a question put self-contained by a model may take


def make_chat(
    settings: Settings,
    corpus: Corpus,
    *,
    quiet: bool,
    wrap: "Callable[[AnswerChain], AnswerChain]" = lambda chain: chain,
) -> "Chat":
    """The chat of section ``chat`` over the corpus: the agent where ``agent.kind`` names one, else the chain.

    Where ``chain.verify`` is ``report``, an answer is told before it is judged; with the other policies, and with an
    agent, the verdict decides what is told and comes first.

    Args:
        settings: all sections.
        corpus: what is searched.
        quiet: no progress bar.
        wrap: is given the answering chain and makes the one that is asked; a server puts its queue here.

    Raises:
        UserError: a model, the data or the conversations' file cannot be used.
    """
    from chains.chat import Chat, Conversations
    from chains.model import estimated_tokens

    config, llm_is_real = settings.chat, settings.llm.model != "embedded"
    if quotes(settings, corpus):
        chain = wrap(make_chain(settings, corpus, quiet=quiet))
        return Chat(chain, Conversations(config.path), count=estimated_tokens, budget=config.history_tokens)
    if settings.agent.kind != "off" and settings.chain.context != "retrieved":
        raise UserError(f"agent.kind is {settings.agent.kind}, and an agent searches. Set chain.context to retrieved.")
    models = load_models(settings)
    chain, verifier = _answering(settings, corpus, models, quiet)
    rewrite = "llm" if config.rewrite == "auto" and llm_is_real else config.rewrite
    written = config.answers == "written" or (config.answers == "auto" and llm_is_real)
    return Chat(
        wrap(chain),
        Conversations(config.path),
        rewriter=_rewriter(models.answering, rewrite),
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
    from chains.verifier import Verifier

    config, unjudged = settings.agent, Models(models.answering)
    read: Any = partial(answering_chain, settings, unjudged, context="retrieved")
    if models.judging is None:
        decides, verify = by_labels(answering_chain(settings, unjudged, None, "gold")), None
    else:
        decides, verify = by_judge(models.judging), _one(Verifier(models.judging))
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


def _answering(
    settings: Settings, corpus: Corpus, models: Models, quiet: bool
) -> "tuple[AnswerChain, Callable[[Answer], Answer] | None]":
    """What answers, and what judges afterwards where that is to come after the answer."""
    retriever = None
    if settings.chain.context == "retrieved":
        names = [settings.retriever]
        retriever = make_retrievers(settings, corpus, names, llm=models.answering, quiet=quiet)[settings.retriever]
        if settings.agent.kind != "off":
            return make_agent(settings, models, retriever), None
    if models.judging is None or settings.chain.verify != "report":
        return answering_chain(settings, models, retriever), None
    from chains.verifier import Verifier

    return answering_chain(settings, Models(models.answering), retriever), _one(Verifier(models.judging))


def _one(verifier: "Verifier") -> "Callable[[Answer], Answer]":
    return lambda answer: verifier.verify([answer])[0]


def _reword(settings: Settings, llm: "LLM") -> "Callable[..., str | None]":
    """Who puts a question in other words: the model, where it is one that can."""
    from chains.agent.wording import by_keywords, by_model

    if settings.llm.model == "embedded":
        return by_keywords
    from chains.rewriting import LLMRewriter

    return by_model(LLMRewriter(llm, settings.prompt.family))


def _rewriter(llm: "LLM", who: Literal["auto", "rules", "llm", "off"]) -> "QuestionRewriter":
    """Who makes follow-ups self-contained."""
    from langchain_core.runnables import RunnableLambda

    from chains.chat.rewriters import ByModel, as_it_stands, by_rules

    match who:
        case "auto" | "rules":
            return by_rules
        case "off":
            return as_it_stands
        case "llm":

            def write(messages: "Messages") -> str:
                return "".join(
                    str(text) for _, texts in llm.write(llm.prompts([messages]), QUESTION_TOKENS) for text in texts
                )

            return ByModel(RunnableLambda(write), llm.clean)
    assert_never(who)


def _writer(settings: Settings, llm: "LLM") -> "Writer":
    """Who puts answers into sentences."""
    from chains.chat.writer import Writer, chat_model_speaker, local_speaker
    from chains.llm import LocalLLM

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
