import checkpoints

from chains.models.templates import label_lead, prepare_template, render
from finetune.qlora.data import answer_end

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Is it so?"}


def test_gemma_folds_the_system_text_into_the_first_turn() -> None:
    tokenizer = checkpoints.make_tokenizer(["<bos>"], checkpoints.GEMMA_TEMPLATE, bos_token="<bos>")
    prepare_template(tokenizer)
    turns = [SYSTEM, USER, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "Sure?"}]
    assert render(tokenizer, [turns]) == [
        "<bos><start_of_turn>user\nBe brief.\n\nIs it so?<end_of_turn>\n<start_of_turn>model\nyes<end_of_turn>\n"
        "<start_of_turn>user\nSure?<end_of_turn>\n<start_of_turn>model\n"
    ]


def test_a_template_with_system_turns_is_unchanged() -> None:
    tokenizer = checkpoints.make_tokenizer(["<|end|>"], checkpoints.CHAT_TEMPLATE)
    prepare_template(tokenizer)
    assert tokenizer.chat_template == checkpoints.CHAT_TEMPLATE


def test_without_a_template_prompts_are_plain_text() -> None:
    tokenizer = checkpoints.make_tokenizer(["<s>"], None, bos_token="<s>")
    prepare_template(tokenizer)
    assert render(tokenizer, [[SYSTEM, USER]]) == ["Be brief.\n\nIs it so?\n\nAnswer:"]
    assert label_lead(tokenizer) == " "


def test_optional_reasoning_is_switched_off() -> None:
    template = (
        "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}"
        "<end>{% endfor %}{% if add_generation_prompt %}<assistant>"
        "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}"
    )
    tokenizer = checkpoints.make_tokenizer(["<end>"], template, eos_token="<end>")
    prepare_template(tokenizer)
    assert render(tokenizer, [[USER]]) == ["<user>Is it so?<end><assistant><think></think>"]
    assert label_lead(tokenizer) == ""
    assert answer_end(tokenizer) == "<end>"
