import pytest

from chains.prompts import qa_prompt, resolve_family


def test_generic_wording_is_unchanged_since_the_training_of_the_embedded_model() -> None:
    assert qa_prompt("generic", "Is it?", "A.\n\nB.") == [
        {
            "role": "user",
            "content": "Read the text and answer the question with yes, no or maybe.\n\n"
            "Text:\nA.\n\nB.\n\nQuestion: Is it?",
        }
    ]
    assert qa_prompt("generic", "Is it?")[0]["content"] == (
        "Answer the question with yes, no or maybe.\n\nQuestion: Is it?"
    )


@pytest.mark.parametrize("family", ["gemma", "llama2", "generic"])
def test_every_wording_has_question_context_and_labels(family) -> None:
    with_context = qa_prompt(family, "Is {context} braces?", "Some {question} text.")[0]["content"]
    assert "Is {context} braces?" in with_context
    assert "Some {question} text." in with_context
    for content in (with_context, qa_prompt(family, "Is it?")[0]["content"]):
        assert all(label in content for label in ("yes", "no", "maybe"))


def test_system_text_is_a_separate_turn() -> None:
    assert qa_prompt("generic", "Is it?", None, "Be brief.")[0] == {"role": "system", "content": "Be brief."}
    assert len(qa_prompt("generic", "Is it?", None, "")) == 1


@pytest.mark.parametrize(
    ("model_type", "name", "template", "family"),
    [
        ("gemma", "google/gemma-7b-it", "<start_of_turn>", "gemma"),
        ("gemma2", "/models/renamed", "", "gemma"),
        ("llama", "meta-llama/Llama-2-7b-chat-hf", "", "llama2"),
        ("llama", "/models/renamed", "{{ '[INST] ' }}", "llama2"),
        ("llama", "embedded", "<|user|>", "generic"),
        ("mistral", "mistral", "[INST]", "generic"),
        ("gpt2", "gpt2", "", "generic"),
    ],
)
def test_auto_resolves_to_the_family_of_the_model(model_type: str, name: str, template: str, family: str) -> None:
    assert resolve_family("auto", model_type, name, template) == family
    assert resolve_family("gemma", model_type, name, template) == "gemma"
