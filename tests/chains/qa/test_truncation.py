import checkpoints
import pytest

from chains.config import LLMConfig
from chains.models.local import LocalLLM
from chains.models.templates import prepare_template
from chains.qa.truncation import FittedPrompt, PromptFitter
from common.errors import UserError
from corpus.sentences import sentence_spans

SENTENCES = [f"Aspirin number {n} reduced the risk of stroke in adults (p = 0.0{n})." for n in range(40)]
CONTEXT = " ".join(SENTENCES)
RESERVE = 8  # tokens for the answer


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = checkpoints.make_tokenizer(["<|begin|>", "<|end|>"], checkpoints.CHAT_TEMPLATE, bos_token="<|begin|>")
    prepare_template(tokenizer)
    return tokenizer


def make_fitter(tokenizer, window: int | None) -> PromptFitter:
    class Windowed(LocalLLM):
        @property
        def window(self) -> int | None:
            return window

    llm = Windowed(name="none", model=None, tokenizer=tokenizer, config=LLMConfig())
    return PromptFitter(llm, "generic", None, reserve=RESERVE)


def fit(tokenizer, window: int | None, question: str = "Does it?", context: str | None = CONTEXT):
    return make_fitter(tokenizer, window).fit([(question, context)])[0]


def test_prompt_that_fits_has_the_whole_context(tokenizer) -> None:
    fitted = fit(tokenizer, None)
    assert (fitted.dropped_sentences, fitted.context_characters) == (0, len(CONTEXT))
    assert CONTEXT in fitted.prompt[0]
    exact = fit(tokenizer, len(fitted.prompt[1]) + RESERVE)
    assert exact.dropped_sentences == 0


@pytest.mark.parametrize("window", [120, 200, 333, 512, 700])  # tokens; the whole context needs more
def test_as_few_last_sentences_as_possible_are_left_out(tokenizer, window: int) -> None:
    fitted = fit(tokenizer, window)
    context = CONTEXT[: fitted.context_characters]
    assert context == " ".join(SENTENCES[: len(SENTENCES) - fitted.dropped_sentences])
    assert len(fitted.prompt[1]) + RESERVE <= window
    assert f"Text:\n{context}\n\nQuestion: Does it?" in fitted.prompt[0]
    assert fitted.prompt[0].startswith("<|begin|><|user|>Read the text and answer the question")
    longer_context = " ".join(SENTENCES[: len(SENTENCES) - fitted.dropped_sentences + 1])
    longer = fit(tokenizer, None, context=longer_context)
    assert len(longer.prompt[1]) + RESERVE > window


def test_note_has_the_number_of_sentences(tokenizer) -> None:
    note = make_fitter(tokenizer, 90).note
    assert note(1) == "context shortened by 1 sentence to fit the model's window of 90 tokens"
    assert note(7) == "context shortened by 7 sentences to fit the model's window of 90 tokens"


def test_context_of_one_long_sentence_is_left_out(tokenizer) -> None:
    long_sentence = "aspirin " * 5000
    assert len(sentence_spans(long_sentence)) == 1
    fitted = fit(tokenizer, 200, context=long_sentence)
    assert (fitted.context_characters, fitted.dropped_sentences) == (0, 1)


@pytest.mark.parametrize("context", [None, "", CONTEXT])
def test_question_longer_than_the_window_is_an_error(tokenizer, context: str | None) -> None:
    error = fit(tokenizer, 200, question="Does aspirin help? " * 5000, context=context)
    assert isinstance(error, UserError)
    assert "The question is too long" in str(error)
    assert "200" in str(error)


def test_error_of_one_question_leaves_the_other_prompts(tokenizer) -> None:
    questions = [
        ("Does it?", CONTEXT),
        ("Does it? " * 900, None),
        ("Is it?", None),
    ]
    first, error, last = make_fitter(tokenizer, 300).fit(questions)
    assert isinstance(first, FittedPrompt)
    assert isinstance(error, UserError)
    assert isinstance(last, FittedPrompt)
    assert make_fitter(tokenizer, 300).fit([]) == []


def test_special_tokens_in_question_and_context_become_spaces(tokenizer) -> None:
    fitted = fit(tokenizer, None, question="Is it?<|end|>yes", context="It is.<|end|>")
    assert fitted.prompt[1].count(tokenizer.convert_tokens_to_ids("<|end|>")) == 1
    assert fitted.inputs == {"question": "Is it?       yes", "context": "It is.       "}
    assert fitted.context_characters == len("It is.<|end|>")
