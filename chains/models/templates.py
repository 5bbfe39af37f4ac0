"""Chat templates made usable: every model gets one, every one takes a system text, and a label's place is known."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chains.prompts import Messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# For models without a template: the plain text of the turns, then a cue for the answer.
_PLAIN = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '\\n\\nAnswer: ' + message['content'] }}"
    "{% else %}{{ '' if loop.first else '\\n\\n' }}{{ message['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '\\n\\nAnswer:' }}{% endif %}"
)
# Put before a template that refuses a system turn: the system text becomes the beginning of the user's turn.
_FOLD_SYSTEM = (
    "{% if messages[0]['role'] == 'system' and messages | length > 1 %}"
    "{% set messages = [{'role': 'user', 'content': messages[0]['content'] + '\\n\\n' + messages[1]['content']}]"
    " + messages[2:] %}{% endif %}"
)


def prepare_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Set ``tokenizer.chat_template`` so that system, user and assistant turns can all be rendered.

    A tokenizer without a template gets a plain text form, beginning with the token that the tokenizer itself would put
    first. A template that raises on a system turn, or leaves the system text out, gets the text folded into the user's
    first turn.
    """
    if not isinstance(tokenizer.chat_template, str):
        named = tokenizer.chat_template or {}
        tokenizer.chat_template = named.get("default") or _first_token(tokenizer) + _PLAIN
    if not _takes_system(tokenizer):
        tokenizer.chat_template = _FOLD_SYSTEM + tokenizer.chat_template


def render(tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Messages]) -> list[str]:
    """Each conversation as the text a model continues with the assistant's answer; special tokens are part of it.

    A model that can reason aloud first (Qwen3) answers at once: its template reads ``enable_thinking``.
    """
    if not conversations:
        return []
    texts = tokenizer.apply_chat_template(
        list(conversations), tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return [str(text) for text in texts]


def label_lead(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The white space that the template puts between its generation prompt and the answer ("" or " " as a rule)."""
    question: Messages = [{"role": "user", "content": "Is it so?"}]
    prompt = render(tokenizer, [question])[0]
    whole = [*question, {"role": "assistant", "content": "yes"}]
    answered = str(tokenizer.apply_chat_template(whole, tokenize=False, enable_thinking=False))
    if not answered.startswith(prompt):
        return ""
    lead, label, _ = answered[len(prompt) :].partition("yes")
    return lead if label and not lead.strip() else ""


def _takes_system(tokenizer: "PreTrainedTokenizerBase") -> bool:
    from jinja2.exceptions import TemplateError

    probe = "Speak briefly."
    try:
        text = render(tokenizer, [[{"role": "system", "content": probe}, {"role": "user", "content": "Is it so?"}]])[0]
    except (TemplateError, TypeError):  # TypeError: a template that adds a turn's text to nothing
        return False
    return probe in text


def _first_token(tokenizer: "PreTrainedTokenizerBase") -> str:
    ids = tokenizer("yes").input_ids
    return "{{ bos_token }}" if ids and ids[0] == tokenizer.bos_token_id else ""
