from finetune.encoder.train import EncoderJob

SUMMARY = {
    "labels": ["yes", "no", "maybe"],
    "train_examples": {"yes": 3, "no": 2, "maybe": 1},
    "dev_examples": 4,
    "shortened": 5,
    "left_out": 6,
    "repeated_premises": {"dev": ["Seen."], "test": None},
    "step": 7,
    "steps": 8,
    "dev_accuracy": 0.5,
    "dev_macro_f1": 0.25,
    "parameters": 1234567,
    "trainable_parameters": 4321,
    "examples_per_second": 9.5,
    "tokens_per_second": 99.5,
    "seconds_training": 10.5,
    "seconds": 11.5,
    "resumed": False,
    "peak_memory": 3 * 2**29,  # 1.5 GiB
    "recipe": {"model": "google/electra-base-discriminator", "task": "qa", "max_length": 96, "keep_text": "end"},
}


def test_the_card_has_the_figures_of_the_summary() -> None:
    text = EncoderJob.card(SUMMARY)
    assert "Premises of the training pairs are repeated in other splits (1 in dev), whose figures are too high." in text
    for line in (
        "base_model: google/electra-base-discriminator",
        "tags: [qa, medground]",
        "| examples | yes 3, no 2, maybe 1 |",
        "| examples cut to fit | 5 |",
        "| texts left out as too long | 6 |",
        "| dev accuracy, macro F1 | 0.500, 0.250 |",
        "| checkpoint | step 7 of 8 |",
        "| trained parameters | 4,321 of 1,234,567 |",
        "| peak memory | 1.50 GiB |",
    ):
        assert line in text.splitlines()
    assert "It reads up to 96 tokens. Longer texts are truncated between sentences; the end is kept" in text


def test_the_card_names_the_embedded_base_and_states_that_dev_figures_are_not_measured() -> None:
    recipe = {"model": "embedded", "task": "nli", "max_length": 96, "keep_text": "start"}
    text = EncoderJob.card({**SUMMARY, "dev_accuracy": None, "dev_macro_f1": None, "recipe": recipe})
    assert "| dev accuracy, macro F1 | not measured, not measured |" in text
    assert "base_model" not in text
    assert "`all-MiniLM-L6-v2`" in text
    assert "--set nli.kind=encoder --set nli.model=DIR" in text
