"""Prompts, end of generation and training texts of tiny models with the chat templates of current open models."""

from dataclasses import dataclass
from pathlib import Path

import checkpoints
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from chains.config import LLMConfig
from chains.models.local import LocalLLM, load_llm
from chains.models.scoring import encode
from chains.models.templates import answer_end, label_lead, render
from common.errors import UserError
from corpus.inference.pairs import NLIPair
from finetune.qlora.data import encode_pairs

SYSTEM = {"role": "system", "content": "Be brief, please."}
USER = {"role": "user", "content": "Did the fever fall?"}
ANSWER = {"role": "assistant", "content": "It fell."}
NEXT = {"role": "user", "content": "Did it rise again?"}
PAIR = NLIPair("1", "No fever was noted.", "She was febrile.", "contradiction")
LABELS = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class Form:
    """The markers of a chat template.

    Attributes:
        user: a user turn; ``{}`` stands for its text.
        assistant: the beginning of an assistant turn, which is also the generation prompt.
        end: the end of an assistant turn.
        system: a system turn, "" if the template drops it, or None if it raises an error.
        bos: the text at the beginning.
        lead: text between ``assistant`` and an answer that is not in the generation prompt.
        opens: end of the generation prompt, absent before the answers of earlier turns.
        closes: the tag that closes the reasoning opened by the generation prompt.
        parts: whether message content is a list of parts.
        date: Jinja code that writes the date.
        stop: the text that stops generation after an answer; None for ``end``.
        joins: the user turn that the system text is put into: "first", "last" or none.
    """

    user: str
    assistant: str
    end: str
    system: str | None = None
    bos: str = ""
    lead: str = ""
    opens: str = ""
    closes: str = ""
    parts: bool = False
    date: str = ""
    stop: str | None = None
    joins: str = ""

    def template(self) -> str:
        """The Jinja template with these markers."""
        text = "message.content[0].text" if self.parts else "message.content"

        def turn(form: str, joined: str = "") -> str:
            before, _, after = form.partition("{}")
            return f"{{{{ {before!r} + {joined}{text} + {after!r} }}}}"

        refuse = "{{ raise_exception('System role not supported') }}"
        system = refuse if self.system is None else turn(self.system) if self.system else ""
        head, joined = "", ""
        if self.joins:
            before, _, after = (self.system or "{}").partition("{}")
            head = (
                "{% set joined = '' %}{% if messages[0].role == 'system' %}"
                f"{{% set joined = {before!r} + messages[0].content + {after!r} %}}"
                "{% set messages = messages[1:] %}{% endif %}"
            )
            joined = f"(joined if loop.{self.joins} else '') + "
        head += (  # many templates refuse turns that do not alternate
            "{% for message in messages | rejectattr('role', 'equalto', 'system') %}"
            "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
            "{{ raise_exception('Roles must alternate') }}{% endif %}{% endfor %}"
        )
        user, assistant = turn(self.user, joined), turn(self.assistant + self.lead + "{}" + self.end)
        return (
            f"{head}{{{{ {self.bos!r} }}}}{self.date}{{% for message in messages %}}"
            f"{{% if message.role == 'system' %}}{system}{{% elif message.role == 'user' %}}{user}"
            f"{{% else %}}{assistant}{{% endif %}}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ {self.assistant + self.opens!r} }}}}{{% endif %}}"
        )


def markers(opening: str, closing: str, **roles: str) -> tuple[str, ...]:
    """The first four attributes of ``Form``, for turns with ROLE replaced by the role's name."""
    names = [roles.get(role, role) for role in ("user", "assistant", "system")]
    user, assistant, system = (opening.replace("ROLE", name) for name in names)
    return user + "{}" + closing, assistant, closing, system + "{}" + closing


CHATML = markers("<|im_start|>ROLE\n", "<|im_end|>\n")
LLAMA3 = markers("<|start_header_id|>ROLE<|end_header_id|>\n\n", "<|eot_id|>")
LLAMA4 = markers("<|header_start|>ROLE<|header_end|>\n\n", "<|eot|>")
GEMMA = markers("<start_of_turn>ROLE\n", "<end_of_turn>\n", assistant="model")
PHI3 = markers("<|ROLE|>\n", "<|end|>\n")
PHI4 = markers("<|im_start|>ROLE<|im_sep|>", "<|im_end|>")
GRANITE = markers("<|start_of_role|>ROLE<|end_of_role|>", "<|end_of_text|>\n")
ZEPHYR = markers("<|ROLE|>\n", "</s>\n")
COMMAND = markers(
    "<|START_OF_TURN_TOKEN|><|ROLE_TOKEN|>", "<|END_OF_TURN_TOKEN|>", user="USER", assistant="CHATBOT", system="SYSTEM"
)
GEMMA4 = markers("<|turn>ROLE\n", "<turn|>\n", assistant="model")
KIMI = markers("<|im_ROLE|>ROLE<|im_middle|>", "<|im_end|>")
MISTRAL = ("[INST]{}[/INST]", "", "</s>", "[SYSTEM_PROMPT]{}[/SYSTEM_PROMPT]")
DEEPSEEK = ("<|User|>{}", "<|Assistant|>", "<|end_of_sentence|>", "{}")
GPT_OSS = (
    "<|start|>user<|message|>{}<|end|>",
    "<|start|>assistant",
    "<|return|>",
    "<|start|>developer<|message|>{}<|end|>",
)
EXAONE = markers("[|ROLE|]", "[|endofturn|]\n")
OPTIONAL_DATE = (
    "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}{{ '26 Jul 2024' }}{% endif %}\n"
)
FORMS = {
    "qwen 2.5": Form(*CHATML),
    "qwen 3": Form(*CHATML, lead="<think>\n\n</think>\n\n"),
    "qwen 3 thinking": Form(*CHATML, opens="<think>\n", closes="</think>"),
    "qwen 2.5 vl": Form(*CHATML, parts=True),
    "smollm 2": Form(*CHATML),
    "smollm 3": Form(*CHATML, lead="<think>\n\n</think>\n", date="Today Date: {{ strftime_now('%d %B %Y') }}\n"),
    "yi": Form(*CHATML, bos="<|startoftext|>"),
    "hermes 3": Form(*CHATML, bos="<|begin_of_text|>"),
    "llama 3": Form(*LLAMA3, bos="<|begin_of_text|>"),
    "llama 3.1": Form(*LLAMA3, bos="<|begin_of_text|>", date=OPTIONAL_DATE),
    "llama 3.2 vision": Form(*LLAMA3, bos="<|begin_of_text|>", date=OPTIONAL_DATE, parts=True),
    "llama 4": Form(*LLAMA4, bos="<|begin_of_text|>"),
    "llama 2": Form("[INST] {} [/INST]", " ", " </s>", "<<SYS>>\n{}\n<</SYS>>\n\n", bos="<s>", joins="first"),
    "gemma": Form(*GEMMA[:3], bos="<bos>"),
    "gemma 3": Form(*GEMMA, bos="<bos>", parts=True),
    "medgemma 27b": Form(*GEMMA, bos="<bos>", lead="<unused94>thought\n<unused95>"),
    "mistral": Form("[INST] {} [/INST]", "", " </s>", bos="<s>"),
    "mistral nemo": Form("[INST]{}[/INST]", "", "</s>", "{}\n\n", bos="<s>", joins="last"),
    "biomistral": Form("[INST] {} [/INST]", "", "</s>", bos="<s>", joins="first", system="{}\n\n"),
    "mistral small": Form(*MISTRAL, bos="<s>", date="{{ strftime_now('%Y-%m-%d') }}"),
    "magistral": Form(*MISTRAL, bos="<s>", opens="[THINK]", closes="[/THINK]"),
    "phi 3": Form(*PHI3),
    "phi 3 mini, first": Form(*PHI3[:3], "", bos="<s>"),
    "phi 4": Form(*PHI4),
    "granite 3": Form(*GRANITE, date="Today's Date: {{ strftime_now('%B %d, %Y') }}.\n"),
    "zephyr": Form(*ZEPHYR),
    "command r": Form(*COMMAND, bos="<BOS_TOKEN>"),
    "glm 4": Form("<|user|>\n{}", "<|assistant|>\n", "", "<|system|>\n{}", bos="[gMASK]<sop>", stop="<|user|>"),
    "glm 4.5": Form(
        "<|user|>\n{}/nothink",
        "<|assistant|>\n<think></think>\n",
        "",
        "<|system|>\n{}",
        bos="[gMASK]<sop>",
        stop="<|user|>",
    ),
    "deepseek r1": Form(*DEEPSEEK, bos="<|begin_of_sentence|>", opens="<think>\n", closes="</think>"),
    "olmo 2": Form(*markers("<|ROLE|>\n", "<|endoftext|>\n"), bos="<|bos|>"),
    "exaone 3.5": Form(*EXAONE),
    "deepseek v2": Form("User: {}\n\n", "Assistant: ", "<|end_of_sentence|>", "{}\n\n", bos="<|begin_of_sentence|>"),
    "deepseek v3.1": Form(DEEPSEEK[0], "<|Assistant|></think>", *DEEPSEEK[2:], bos="<|begin_of_sentence|>"),
    "nemotron mini": Form(
        "<extra_id_1>User\n{}\n", "<extra_id_1>Assistant\n", "\n", "<extra_id_0>System\n{}\n\n", stop="<extra_id_1>"
    ),
    "nemotron nano 2": Form(  # the last answer follows the reasoning tag of the generation prompt
        "<SPECIAL_11>User\n{}\n",
        "<SPECIAL_11>Assistant\n<think>\n\n",
        "\n<SPECIAL_12>\n",
        "<SPECIAL_10>System\n{}\n\n",
        closes="</think>",
    ),
    "command a": Form(
        *COMMAND[:2],
        "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
        COMMAND[3],
        bos="<BOS_TOKEN>",
        lead="<|START_RESPONSE|>",
        stop="<|END_RESPONSE|>",
    ),
    "falcon 3": Form("<|user|>\n{}\n", "<|assistant|>\n", "<|endoftext|>\n", "<|system|>\n{}\n"),
    "falcon, text only": Form("User: {}\n\n", "Assistant: ", "\n\n", "{}\n\n", stop="\n\nUser: It rose."),
    "vicuna": Form("USER: {} ", "ASSISTANT: ", "</s>", "{}\n\n", bos="<s>"),
    "alpaca": Form("### Instruction:\n{}\n\n", "### Response:\n", "</s>\n\n", "{}\n\n", bos="<s>"),
    "internlm 2": Form(*CHATML, bos="<s>"),
    "openchat": Form(
        *markers("GPT4 Correct ROLE: ", "<|end_of_turn|>", user="User", assistant="Assistant", system="System"),
        bos="<s>",
    ),
    "gemma 4": Form(*GEMMA4, bos="<bos>", opens="<|channel>thought\n<channel|>"),
    "kimi k2": Form(*KIMI, lead="<think></think>"),
    "minimax m2": Form(
        "]~b]user\n{}[e~[\n", "]~b]ai\n", "[e~[\n", "]~!b[]~b]system\n{}[e~[\n", opens="<think>\n", closes="</think>"
    ),
    "seed oss": Form(*markers("<seed:bos>ROLE\n", "<seed:eos>")),
    "jamba 1.6": Form(
        "<|bom|><|user|> {}<|eom|>",
        "<|bom|><|assistant|>",
        "<|eom|>",
        "<|bom|><|system|> {}<|eom|>",
        bos="<|startoftext|>",
        lead=" ",
    ),
    "smolvlm": Form(
        "User: {}<end_of_utterance>\n",
        "Assistant:",
        "<end_of_utterance>\n",
        "System: {}<end_of_utterance>\n",
        parts=True,
        bos="<|im_start|>",
        lead=" ",
    ),
    "apriel 1.5": Form(*markers("<|ROLE|>\n", "\n<|end|>\n"), bos="<s>", stop="\n<|end|>"),
    # Every message has the same end, as in templates for training.
    "gpt-oss, one end": Form(*GPT_OSS[:2], "<|end|>", GPT_OSS[3], lead="<|channel|>final<|message|>"),
    "gpt-oss": Form(
        *GPT_OSS, lead="<|channel|>final<|message|>", date="Current date: {{ strftime_now('%Y-%m-%d') }}\n"
    ),
}
# The special tokens of all forms in one vocabulary.
TOKENS = """
    <|endoftext|> </s> <s> <|im_start|> <|im_end|> <|im_sep|> <|startoftext|> <|begin_of_text|> <|start_header_id|>
    <|end_header_id|> <|eot_id|> <|header_start|> <|header_end|> <|eot|> <bos> <start_of_turn> <end_of_turn>
    <unused94> <unused95> [INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [THINK] [/THINK] <think> </think> <|user|>
    <|assistant|> <|system|> <|end|> <|start_of_role|> <|end_of_role|> <|end_of_text|> <|START_OF_TURN_TOKEN|>
    <|END_OF_TURN_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|> <|SYSTEM_TOKEN|> <BOS_TOKEN> [gMASK] <sop> <|User|>
    <|Assistant|> <|begin_of_sentence|> <|end_of_sentence|> <|bos|> [|endofturn|] <|start|> <|message|> <|channel|>
    <|return|> <extra_id_0> <extra_id_1> <SPECIAL_10> <SPECIAL_11> <SPECIAL_12> <|START_RESPONSE|> <|END_RESPONSE|>
    <|end_of_turn|> <|turn> <turn|> <|channel> <channel|> <|im_user|> <|im_assistant|> <|im_system|> <|im_middle|>
    ]~b] ]~!b[ [e~[ <seed:bos> <seed:eos> <|bom|> <|eom|> <end_of_utterance>
""".split()  # noqa: SIM905


def make_model(folder: Path, template: str, special: list[str], bos: str | None) -> LocalLLM:
    """A tiny Llama whose files name <|endoftext|> as the end token, so that other ends come from the template."""
    torch.manual_seed(1)
    named_tokens = {"eos_token": "<|endoftext|>", **({"bos_token": bos} if bos else {})}
    tokenizer = checkpoints.make_tokenizer(special, template, **named_tokens)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=512,
            bos_token_id=None,
            eos_token_id=0,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_llm(LLMConfig(model=str(folder), dtype="float32", device_map="cpu"))


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


@pytest.fixture(scope="module")
def llm(form: Form, tmp_path_factory: pytest.TempPathFactory) -> LocalLLM:
    bos = next((token for token in TOKENS if form.bos.startswith(token)), None)
    return make_model(tmp_path_factory.mktemp("model"), form.template(), TOKENS, bos)


def answer_from_tokens(llm: LocalLLM, ids: list[int], monkeypatch: pytest.MonkeyPatch) -> str:
    """The chat model's answer if the model generates the tokens ``ids``."""
    start = len(llm.prompts([[USER]])[0][1])
    forward = LlamaForCausalLM.forward

    def scripted(self, *args, **kwargs):
        output = forward(self, *args, **kwargs)
        past = kwargs["past_key_values"].get_seq_length()
        output.logits[:, -1] = -9.0
        output.logits[:, -1, ids[min(past - start, len(ids) - 1)]] = 9.0
        return output

    monkeypatch.setattr(LlamaForCausalLM, "forward", scripted)
    return str(llm.chat.bind(max_tokens=60).invoke([("user", USER["content"])]).content)


def test_the_prompt_has_every_text_once_in_order(form: Form, llm: LocalLLM) -> None:
    second_system, second_user = {"role": "system", "content": "Name your source."}, {"role": "user", "content": "Why?"}
    for conversation in (
        [USER],
        [SYSTEM, USER],
        [USER, ANSWER, NEXT],
        [SYSTEM, USER, ANSWER, NEXT],
        [SYSTEM, second_system, USER, second_user, ANSWER, NEXT],
    ):
        text, ids = llm.prompts([conversation])[0]
        assert all(text.count(turn["content"]) == 1 for turn in conversation)
        positions = [text.find(turn["content"]) for turn in conversation]
        assert positions == sorted(positions)
        assert text.startswith(form.bos)
        bos = llm.tokenizer.bos_token_id
        assert bos is None or ids.count(bos) == 1


def test_the_prompt_does_not_depend_on_the_date(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 5, 6)

    before = llm.prompts([[USER]])
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Later)
    assert llm.prompts([[USER]]) == before
    assert "2031" not in before[0][0]


def test_generation_stops_at_the_end_of_the_turn(form: Form, llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    if llm.answer_message:  # a message in another channel has the same end
        before = f"<|channel|>analysis<|message|>Hm.{form.end}<|start|>assistant{form.lead}"
    else:
        before = form.lead
    [ids] = encode(llm.tokenizer, [before + "It fell." + (form.stop or form.end.strip()) + " It rose."])
    assert answer_from_tokens(llm, ids, monkeypatch).rstrip().endswith("It fell.")


def test_training_texts_are_prompt_lead_label_and_end(llm: LocalLLM) -> None:
    [example] = encode_pairs(llm, [PAIR], LABELS, "generic").examples
    text, lead = llm.tokenizer.decode(example.ids), label_lead(llm.tokenizer)
    [(prompt, ids)] = llm.prompts([[{"role": "user", "content": "X"}]])
    assert text[: text.rindex(PAIR.label)].endswith(prompt.partition("X")[2] + lead)
    start = ids.index(encode(llm.tokenizer, ["X"])[0][0])
    assert example.ids[:start] == ids[:start]
    assert text.endswith(PAIR.label + answer_end(llm.tokenizer))


def test_the_label_lead_closes_the_reasoning(form: Form, llm: LocalLLM) -> None:
    lead = label_lead(llm.tokenizer)
    assert lead.strip() == form.closes if form.closes else lead == form.lead


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% for m in messages %}{{ m.content }", "TemplateSyntaxError"),
        ("{{ nowhere(messages) }}", "is undefined"),
        ("{{ raise_exception('Only with tools') }}", "Only with tools"),
        ("<|im_start|>{% if add_generation_prompt %}<|im_start|>{% endif %}", "drops the user's text"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
    ],
)
def test_a_broken_template_is_refused(tmp_path: Path, template: str, problem: str) -> None:
    with pytest.raises(UserError, match=r"chat template of .* cannot be used") as error:
        make_model(tmp_path, template, TOKENS, None)
    assert problem in str(error.value)


@pytest.mark.parametrize("template", ["", " \n"])
def test_a_blank_template_is_replaced_by_plain_text(tmp_path: Path, template: str) -> None:
    llm = make_model(tmp_path, template, TOKENS, None)
    assert render(llm.tokenizer, [[USER]]) == ["Did the fever fall?\n\nAnswer:"]


def test_an_end_text_that_is_not_a_token_stops_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = make_model(tmp_path, Form(*CHATML).template(), ["<|endoftext|>"], None)
    assert llm.stop_texts == ("<|im_end|>",)
    [ids] = encode(llm.tokenizer, ["It fell.<|im_end|>\nIt rose."])
    assert answer_from_tokens(llm, ids, monkeypatch) == "It fell."
