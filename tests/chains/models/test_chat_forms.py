"""Chat templates in the forms of current open models: their markers and roles, each over a tiny model."""

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
from corpus.nli import NLIPair
from finetune.qlora.data import encode_pairs

SYSTEM = {"role": "system", "content": "Be brief, please."}
USER = {"role": "user", "content": "Did the fever fall?"}
ANSWER = {"role": "assistant", "content": "It fell."}
NEXT = {"role": "user", "content": "Did it rise again?"}
PAIR = NLIPair("1", "No fever was noted.", "She was febrile.", "contradiction")
LABELS = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class Form:
    """The markers of a chat template; ``{}`` stands for a turn's text."""

    user: str
    assistant: str  # up to the answer: the generation prompt
    end: str  # of an answer
    system: str | None = None  # None: it refuses a system turn; "": it drops one
    bos: str = ""
    lead: str = ""  # between the generation prompt and an answer
    opens: str = ""  # of the generation prompt alone
    parts: bool = False
    date: str = ""
    stop: str | None = None  # the token that ends an answer, where ``end`` does not begin with one

    def template(self) -> str:
        text = "message.content[0].text" if self.parts else "message.content"

        def turn(form: str) -> str:
            before, _, after = form.partition("{}")
            return f"{{{{ {before!r} + {text} + {after!r} }}}}"

        refuse = "{{ raise_exception('System role not supported') }}"
        system = refuse if self.system is None else turn(self.system) if self.system else ""
        return (
            f"{{{{ {self.bos!r} }}}}{self.date}"
            "{% for message in messages %}{% if message.role == 'system' %}"
            + system
            + "{% elif message.role == 'user' %}"
            + turn(self.user)
            + "{% else %}"
            + turn(self.assistant + self.lead + "{}" + self.end)
            + "{% endif %}{% endfor %}{% if add_generation_prompt %}"
            + f"{{{{ {self.assistant + self.opens!r} }}}}"
            + "{% endif %}"
        )


def turns(opening: str, closing: str, **roles: str) -> tuple[str, ...]:
    """User, assistant and system turns that differ in the role's name only."""
    names = [roles.get(role, role) for role in ("user", "assistant", "system")]
    user, assistant, system = (opening.replace("ROLE", name) for name in names)
    return user + "{}" + closing, assistant, closing, system + "{}" + closing


CHATML = turns("<|im_start|>ROLE\n", "<|im_end|>\n")
LLAMA3 = turns("<|start_header_id|>ROLE<|end_header_id|>\n\n", "<|eot_id|>")
LLAMA4 = turns("<|header_start|>ROLE<|header_end|>\n\n", "<|eot|>")
GEMMA = turns("<start_of_turn>ROLE\n", "<end_of_turn>\n", assistant="model")
PHI3 = turns("<|ROLE|>\n", "<|end|>\n")
PHI4 = turns("<|im_start|>ROLE<|im_sep|>", "<|im_end|>")
GRANITE = turns("<|start_of_role|>ROLE<|end_of_role|>", "<|end_of_text|>\n")
ZEPHYR = turns("<|ROLE|>\n", "</s>\n")
COMMAND = turns(
    "<|START_OF_TURN_TOKEN|><|ROLE_TOKEN|>", "<|END_OF_TURN_TOKEN|>", user="USER", assistant="CHATBOT", system="SYSTEM"
)
EXAONE = turns("[|ROLE|]", "[|endofturn|]\n")
GUARDED = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}{{ '26 Jul 2024' }}{% endif %}\n"
FORMS = {
    "qwen 2.5": Form(*CHATML),
    "qwen 3": Form(*CHATML, lead="<think>\n\n</think>\n\n"),
    "qwen 3 thinking": Form(*CHATML, opens="<think>\n"),
    "qwen 2.5 vl": Form(*CHATML, parts=True),
    "smollm 2": Form(*CHATML),
    "smollm 3": Form(*CHATML, lead="<think>\n\n</think>\n", date="Today Date: {{ strftime_now('%d %B %Y') }}\n"),
    "yi": Form(*CHATML, bos="<|startoftext|>"),
    "hermes 3": Form(*CHATML, bos="<|begin_of_text|>"),
    "llama 3": Form(*LLAMA3, bos="<|begin_of_text|>"),
    "llama 3.1": Form(*LLAMA3, bos="<|begin_of_text|>", date=GUARDED),
    "llama 3.2 vision": Form(*LLAMA3, bos="<|begin_of_text|>", date=GUARDED, parts=True),
    "llama 4": Form(*LLAMA4, bos="<|begin_of_text|>"),
    "llama 2": Form("[INST] {} [/INST]", " ", " </s>", "<<SYS>>\n{}\n<</SYS>>\n\n", bos="<s>"),
    "gemma": Form(*GEMMA[:3], bos="<bos>"),
    "gemma 3": Form(*GEMMA, bos="<bos>", parts=True),
    "medgemma 27b": Form(*GEMMA, bos="<bos>", lead="<unused94>thought\n<unused95>"),
    "mistral": Form("[INST] {} [/INST]", "", " </s>", bos="<s>"),
    "mistral small": Form(
        "[INST]{}[/INST]",
        "",
        "</s>",
        "[SYSTEM_PROMPT]{}[/SYSTEM_PROMPT]",
        bos="<s>",
        date="{{ strftime_now('%Y-%m-%d') }}",
    ),
    "magistral": Form("[INST]{}[/INST]", "", "</s>", "[SYSTEM_PROMPT]{}[/SYSTEM_PROMPT]", bos="<s>", opens="[THINK]"),
    "phi 3": Form(*PHI3),
    "phi 3 mini, first": Form(*PHI3[:3], "", bos="<s>"),
    "phi 4": Form(*PHI4),
    "granite 3": Form(*GRANITE, date="Today's Date: {{ strftime_now('%B %d, %Y') }}.\n"),
    "zephyr": Form(*ZEPHYR),
    "command r": Form(*COMMAND, bos="<BOS_TOKEN>"),
    "glm 4": Form("<|user|>\n{}", "<|assistant|>\n", "", "<|system|>\n{}", bos="[gMASK]<sop>", stop="<|endoftext|>"),
    "deepseek r1": Form(
        "<|User|>{}", "<|Assistant|>", "<|end_of_sentence|>", "{}", bos="<|begin_of_sentence|>", opens="<think>\n"
    ),
    "olmo 2": Form(*turns("<|ROLE|>\n", "<|endoftext|>\n"), bos="<|bos|>"),
    "exaone 3.5": Form(*EXAONE),
    "gpt-oss": Form(
        "<|start|>user<|message|>{}<|end|>",
        "<|start|>assistant",
        "<|return|>",
        "<|start|>developer<|message|>{}<|end|>",
        lead="<|channel|>final<|message|>",
        date="Current date: {{ strftime_now('%Y-%m-%d') }}\n",
    ),
}
TOKENS = [
    "<|endoftext|>",
    "</s>",
    "<s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|im_sep|>",
    "<|startoftext|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|header_start|>",
    "<|header_end|>",
    "<|eot|>",
    "<bos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<unused94>",
    "<unused95>",
    "[INST]",
    "[/INST]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[THINK]",
    "[/THINK]",
    "<think>",
    "</think>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
    "<|start_of_role|>",
    "<|end_of_role|>",
    "<|end_of_text|>",
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "<|SYSTEM_TOKEN|>",
    "<BOS_TOKEN>",
    "[gMASK]",
    "<sop>",
    "<|User|>",
    "<|Assistant|>",
    "<|begin_of_sentence|>",
    "<|end_of_sentence|>",
    "<|bos|>",
    "[|endofturn|]",
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "<|return|>",
]
assert len(FORMS) == 30


def make_model(folder: Path, template: str, special: list[str], bos: str | None) -> LocalLLM:
    """A tiny Llama whose end token, in every file, is <|endoftext|>."""
    torch.manual_seed(1)
    names = {"eos_token": "<|endoftext|>", **({"bos_token": bos} if bos else {})}
    tokenizer = checkpoints.make_tokenizer(special, template, **names)
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
def case(request, tmp_path_factory) -> tuple[Form, LocalLLM]:
    form = FORMS[request.param]
    bos = next((token for token in TOKENS if form.bos.startswith(token)), None)
    return form, make_model(tmp_path_factory.mktemp("model"), form.template(), TOKENS, bos)


def write(llm: LocalLLM, ids: list[int], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the chat model writes where the model's next tokens are ``ids``, after each other."""
    start = len(llm.prompts([[USER]])[0][1])
    forward = LlamaForCausalLM.forward

    def scripted(self, *args, **kwargs):
        output = forward(self, *args, **kwargs)
        past = kwargs["past_key_values"].get_seq_length()
        output.logits[:, -1] = -9.0
        output.logits[:, -1, ids[min(past - start, len(ids) - 1)]] = 9.0
        return output

    monkeypatch.setattr(LlamaForCausalLM, "forward", scripted)
    return str(llm.chat.bind(max_tokens=24).invoke([("user", USER["content"])]).content)


def test_the_prompt_has_every_text_once_in_order(case: tuple[Form, LocalLLM]) -> None:
    form, llm = case
    for turns in ([USER], [SYSTEM, USER], [USER, ANSWER, NEXT], [SYSTEM, USER, ANSWER, NEXT]):
        text, ids = llm.prompts([turns])[0]
        places = [text.find(turn["content"]) for turn in turns]
        assert -1 not in places
        assert places == sorted(places)
        assert all(text.count(turn["content"]) == 1 for turn in turns)
        assert text.startswith(form.bos)
        bos = llm.tokenizer.bos_token_id
        assert bos is None or ids.count(bos) == 1


def test_the_date_is_fixed(case: tuple[Form, LocalLLM], monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    import transformers.utils.chat_template_utils as library

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 5, 6)

    _, llm = case
    before = llm.prompts([[USER]])
    monkeypatch.setattr(library, "datetime", Later)
    assert llm.prompts([[USER]]) == before
    assert "2031" not in before[0][0]


def test_generation_stops_at_the_end_of_the_turn(case: tuple[Form, LocalLLM], monkeypatch: pytest.MonkeyPatch) -> None:
    form, llm = case
    [whole] = encode(llm.tokenizer, ["It fell." + (form.stop or form.end.strip()) + " It rose."])
    assert write(llm, whole, monkeypatch).rstrip().endswith("It fell.")


def test_training_texts_begin_with_the_prompt(case: tuple[Form, LocalLLM]) -> None:
    _, llm = case
    [example] = encode_pairs(llm, [PAIR], LABELS, "generic").examples
    text = llm.tokenizer.decode(example.ids)
    asked = text[: text.rindex(PAIR.label)]
    assert asked.endswith(label_lead(llm.tokenizer))
    prompt = asked.removesuffix(label_lead(llm.tokenizer))
    [(rendered, ids)] = llm.prompts([[{"role": "user", "content": "X"}]])
    assert prompt.endswith(rendered.partition("X")[2])
    assert (
        example.ids[: ids.index(encode(llm.tokenizer, ["X"])[0][0])]
        == ids[: ids.index(encode(llm.tokenizer, ["X"])[0][0])]
    )
    assert text.endswith(PAIR.label + answer_end(llm.tokenizer))


def test_a_lead_closes_the_reasoning(case: tuple[Form, LocalLLM]) -> None:
    form, llm = case
    lead = label_lead(llm.tokenizer)
    if form.opens:
        assert lead.strip() == form.opens.strip().replace("<", "</").replace("[", "[/")
    else:
        assert lead == form.lead


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
def test_a_template_that_cannot_be_used_is_refused(tmp_path: Path, template: str, problem: str) -> None:
    with pytest.raises(UserError, match=r"chat template of .* cannot be used") as error:
        make_model(tmp_path, template, TOKENS, None)
    assert problem in str(error.value)


@pytest.mark.parametrize("template", ["", " \n"])
def test_a_blank_template_counts_as_none(tmp_path: Path, template: str) -> None:
    llm = make_model(tmp_path, template, TOKENS, None)
    assert render(llm.tokenizer, [[USER]]) == ["Did the fever fall?\n\nAnswer:"]


def test_an_end_that_is_no_token_stops_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = make_model(tmp_path, Form(*CHATML).template(), ["<|endoftext|>"], None)
    assert llm.stop_texts == ("<|im_end|>",)
    [whole] = encode(llm.tokenizer, ["It fell.<|im_end|>\nIt rose."])
    assert write(llm, whole, monkeypatch) == "It fell."
