"""Adaptation of chat templates so that all conversations render, and the texts around an answer."""

from collections.abc import Sequence
from datetime import date
from itertools import groupby, pairwise, product
from typing import TYPE_CHECKING

from chains.models.reasoning import reasoning_end
from chains.prompts import Messages
from common.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# For models without a template: the plain text of the turns, then "Answer:".
_PLAIN_TEXT = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '\\n\\nAnswer: ' + message['content'] }}"
    "{% else %}{{ '' if loop.first else '\\n\\n' }}{{ message['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '\\n\\nAnswer:' }}{% endif %}"
)
# Jinja preambles that adapt a template. Each ends with a newline, since Jinja removes the newline after a block:
# otherwise, a newline at the beginning of the template would be lost.
_FOLD_SYSTEM = (
    "{% if messages[0]['role'] == 'system' and messages | length > 1 %}"
    "{% set messages = [{'role': 'user', 'content': messages[0]['content'] + '\\n\\n' + messages[1]['content']}]"
    " + messages[2:] %}{% endif %}\n"
)
_CONTENT_IN_PARTS = (
    "{% set adapted = namespace(turns=[]) %}{% for message in messages %}"
    "{% set content = message['content'] %}"
    "{% set content = [{'type': 'text', 'text': content}] if content is string else content %}"
    "{% set adapted.turns = adapted.turns + [dict(message, content=content)] %}"
    "{% endfor %}{% set messages = adapted.turns %}\n"
)
# Makes ``strftime_now`` undefined, so that a template uses its default date.
_NO_CLOCK = "{% set strftime_now = no_date_is_given %}\n"
_DATE = date(2024, 7, 26)  # the default in Llama 3's template
_DIRECTIVES = ("F", "D", "-d", "d", "e", "b", "h", "B", "-m", "m", "Y", "y", "A", "a", "j", "H", "I", "M", "S", "p")
# strftime_now of a fixed date, for templates without a default.
_FIXED_CLOCK = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace('%{name}', '{_DATE.strftime('%' + name)}')" for name in _DIRECTIVES)
    + " }}{% endmacro %}\n"
)
# The texts of the conversations with which a template is tried.
_SYSTEM, _QUESTION, _ANSWER, _NEXT = "Speak briefly.", "Is the first so?", "It is so-so.", "Is the second so?"


def prepare_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Set ``tokenizer.chat_template`` so that system, user and assistant turns of plain text all render.

    The template is tried with short conversations and gets the preambles that it needs:

    - the system text is joined to the first user turn if the template refuses or drops a system turn;
    - message content is a list of parts, as for multimodal models, if the template drops or rejects plain text;
    - a template that writes the date writes its default date, or else 26 July 2024, so that prompts stay the same.

    A missing or blank template is replaced by plain text, which begins with the token that the tokenizer puts first.

    Raises:
        UserError: the template is broken, refuses every conversation, or drops the user's text.
    """
    templates = tokenizer.chat_template
    if not isinstance(templates, dict):  # by name: default, tool_use, rag
        templates = {"default": templates or ""}
    template = templates.get("default") or next(iter(templates.values()), "")
    if not template.strip():
        tokenizer.chat_template = _bos_expression(tokenizer) + _PLAIN_TEXT
        return
    clocks = (_NO_CLOCK, _FIXED_CLOCK) if "strftime_now" in template else ("",)
    preambles = product(("", _FOLD_SYSTEM), ("", _CONTENT_IN_PARTS), clocks)
    candidates = ["".join(combination) + template for combination in preambles]
    passed = {candidate: _count_passed_probes(tokenizer, candidate) for candidate in candidates}
    best = max(passed, key=passed.__getitem__)  # the first of equals, which has the fewest preambles
    if not passed[best]:
        raise UserError(
            f"The chat template of {tokenizer.name_or_path} cannot be used: {_problem(tokenizer, candidates[0])}. "
            "Correct chat_template in the model's tokenizer_config.json (or chat_template.jinja), or delete it: "
            "prompts are plain text then."
        )
    tokenizer.chat_template = best


def render(tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Messages]) -> list[str]:
    """Render each conversation up to where the assistant's answer begins, special tokens included.

    Reasoning is switched off in templates that have ``enable_thinking`` (Qwen 3). Successive turns of the same role are
    joined if the template refuses or drops one of them.

    Raises:
        UserError: the template cannot render a conversation, or drops a user's text.
    """
    if not conversations:
        return []
    conversations = [_renderable(tokenizer, conversation) for conversation in conversations]
    try:
        rendered = tokenizer.apply_chat_template(
            list(conversations), tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    except Exception as error:  # a template is a program, which may fail in any way
        raise UserError(f"The chat template of {tokenizer.name_or_path} cannot be used: {_reason(error)}.") from error
    texts = [str(text) for text in rendered]
    for text, conversation in zip(texts, conversations, strict=True):
        for message in conversation:
            if message["role"] == "user" and not _contains(text, message["content"]):
                raise UserError(
                    f"The chat template of {tokenizer.name_or_path} drops a user's text "
                    f"({message['content'].strip()[:40]!r}). Correct the template, or choose another model."
                )
    return texts


def label_lead(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The text that the template puts between the generation prompt and an answer.

    It is empty or a space in most templates, and an empty reasoning block or the tags of the answer's channel in
    templates of reasoning models. If the generation prompt opens the reasoning, this text closes it.
    """
    prompt = render(tokenizer, [_conversation()])[0]
    answered, lead = _render_turns(tokenizer, _QUESTION, _ANSWER), ""
    if answered.startswith(prompt):
        between, answer, _ = answered[len(prompt) :].partition(_ANSWER)
        lead = between if answer else ""
    return lead + reasoning_end(prompt + lead)


def answer_end(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The text after an answer up to its end token; the tokenizer's end token if the template has none."""
    after = _after_answer(tokenizer)
    if token := end_token(tokenizer):
        return after.partition(token)[0] + token if token in after else token
    return after.rstrip()


def end_token(tokenizer: "PreTrainedTokenizerBase") -> str | None:
    """The token that ends an answer; None if the template ends a turn with a text that is not a token."""
    after = _after_answer(tokenizer)
    if token := _first_token_in(tokenizer, after):
        return token
    if after.strip():
        return None
    return str(tokenizer.eos_token) if tokenizer.eos_token else None


def next_turn(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The beginning of the user's next turn, for templates without an end of turn; empty for other templates.

    Models with such a template (GLM-4) generate this beginning after an answer. It is the first special token between
    the answer and the user's text. If there is no such token, it is all text between them.
    """
    if _after_answer(tokenizer).strip():
        return ""
    between = _render_turns(tokenizer, _QUESTION, _ANSWER, _NEXT).rpartition(_ANSWER)[2].partition(_NEXT)[0]
    return _first_token_in(tokenizer, between) or (between.rstrip() if between.strip() else "")


def answers_in_channel(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether a turn has several messages in channels with the same end token, one of them the answer (gpt-oss)."""
    end = end_token(tokenizer)
    return "<|channel|>" in label_lead(tokenizer) and end is not None and end in render(tokenizer, [_conversation()])[0]


def _first_token_in(tokenizer: "PreTrainedTokenizerBase", text: str) -> str | None:
    """The added or special token that comes first in a text."""
    known = {*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens}
    found = [(text.index(token), -len(token), token) for token in known if token and token in text]
    return str(min(found)[2]) if found else None  # of tokens at the same position, the longest


def _after_answer(tokenizer: "PreTrainedTokenizerBase") -> str:
    return _render_turns(tokenizer, _QUESTION, _ANSWER).rpartition(_ANSWER)[2]


def _render_turns(tokenizer: "PreTrainedTokenizerBase", *texts: str) -> str:
    """The rendered turns of user and assistant, without a generation prompt."""
    return str(tokenizer.apply_chat_template(_conversation(*texts), tokenize=False, enable_thinking=False))


def _conversation(*texts: str, system: bool = False) -> Messages:
    """A conversation of user and assistant in turn (default: one question), after a system text if ``system``."""
    turns: Messages = [
        {"role": "assistant" if number % 2 else "user", "content": text}
        for number, text in enumerate(texts or (_QUESTION,))
    ]
    return [{"role": "system", "content": _SYSTEM}, *turns] if system else turns


# From simple to complex; a template can be used if it renders the first.
_PROBES = (
    _conversation(),
    _conversation(system=True),
    _conversation(_QUESTION, _ANSWER, _NEXT),
    _conversation(_QUESTION, _ANSWER, _NEXT, system=True),
)


def _renderable(tokenizer: "PreTrainedTokenizerBase", conversation: Messages) -> Messages:
    """The conversation; successive turns of one role are joined if the template does not render them."""
    if all(turn["role"] != following["role"] for turn, following in pairwise(conversation)):
        return conversation
    if _rendered_in_order(tokenizer, str(tokenizer.chat_template), conversation):
        return conversation
    return [
        {"role": role, "content": "\n\n".join(turn["content"] for turn in turns)}
        for role, turns in groupby(conversation, key=lambda turn: turn["role"])
    ]


def _count_passed_probes(tokenizer: "PreTrainedTokenizerBase", template: str) -> int:
    """The number of ``_PROBES`` before the first that a template does not render with each text once, in order."""
    for number, conversation in enumerate(_PROBES):
        text = _rendered_in_order(tokenizer, template, conversation)
        if any(text.count(message["content"]) != 1 for message in conversation):
            return number
    return len(_PROBES)


def _rendered_in_order(tokenizer: "PreTrainedTokenizerBase", template: str, conversation: Messages) -> str:
    """The rendered text if it contains every turn's text in order, else an empty text."""
    try:
        text = _render_with(tokenizer, template, conversation)
    except Exception:  # a template is a program, which may fail in any way
        return ""
    position = 0
    for message in conversation:
        content = message["content"].strip()
        position = text.find(content, position)
        if position < 0:
            return ""
        position += len(content)
    return text


def _problem(tokenizer: "PreTrainedTokenizerBase", template: str) -> str:
    """Why a template does not render the first of ``_PROBES``."""
    try:
        text = _render_with(tokenizer, template, _PROBES[0])
    except Exception as error:
        return _reason(error)
    return "it repeats the user's text" if _QUESTION in text else "it drops the user's text"


def _render_with(tokenizer: "PreTrainedTokenizerBase", template: str, conversation: Messages) -> str:
    return str(
        tokenizer.apply_chat_template(
            conversation, chat_template=template, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    )


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def _contains(text: str, content: str) -> bool:
    """Whether ``text`` contains ``content``, in which a template may have changed white space."""
    return content.strip() in text or "".join(content.split()) in "".join(text.split())


def _bos_expression(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Jinja expression of the token that the tokenizer puts first; empty if it puts none."""
    ids = tokenizer("yes").input_ids
    return "{{ bos_token }}" if ids and ids[0] == tokenizer.bos_token_id else ""
