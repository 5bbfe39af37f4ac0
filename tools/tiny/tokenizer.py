"""The byte-level BPE tokenizer of medground-tiny, trained on readings."""

from transformers import PreTrainedTokenizerFast

from tools.tiny.readings import Readings
from tools.tiny.wording import ASSISTANT, BEGIN, END, PAD, SYSTEM, USER, branch_text

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(seed: int, vocabulary: int, reading_count: int, window: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer of ``vocabulary`` tokens, among them all bytes; each digit is a separate token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, BEGIN, SYSTEM, USER, ASSISTANT, END]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    stream = Readings(seed)
    texts = []
    for reading in (stream.draw() for _ in range(reading_count)):
        texts.append(reading.stem)
        texts.extend(branch_text(*branch) for branch in reading.branches)
    for token in special:
        texts = [text.replace(token, "\n") for text in texts]
    # The labels alone, since they begin the assistant's turn and have no space before them.
    tokenizer.train_from_iterator([*texts, *["yes", "no", "maybe"] * reading_count], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=window,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
