"""Two models over one base give the results of separately loaded models, in any number of threads."""

import gc
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import checkpoints
import pytest
import torch

from chains.config import LLMConfig
from chains.models.adapter_switch import share_base
from chains.models.local import LocalLLM, load_llm
from chains.nli import nli_chain
from chains.qa.chain import qa_chain
from common.cpu import packs_linear
from common.errors import UserError

THREADS = 8
TEXTS = [
    "Aspirin reduced the risk of stroke.",
    "Bleeding did not change.",
    "Patients were old. The outcome was stroke.",
]
LABELS = ("entailment", "neutral", "contradiction")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: checkpoints.MAKERS[name](root / name) for name in ("gemma", "llama2", "chat")}


@pytest.fixture(scope="module")
def adapters(folders, tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("adapters")
    return {name: str(checkpoints.make_adapter(base, root / name)) for name, base in folders.items()}


def load(folder: Path, precision: str = "float32", **settings: Any) -> LocalLLM:
    dtype = {"quantization": "4bit", "dtype": "float32"} if precision == "4bit" else {"dtype": precision}
    return load_llm(LLMConfig(model=str(folder), max_new_tokens=4, **dtype, **settings))


def make_calls(answering: LocalLLM, judging: LocalLLM) -> list[Callable[[], Any]]:
    """Calls of QA and NLI chains, which score or generate, and of chat models; eight for each text."""
    answers = {decide: qa_chain(answering, context="gold", decide=decide) for decide in ("score", "generate")}
    judges = {decide: nli_chain(judging, LABELS, decide=decide) for decide in ("score", "generate")}
    calls: list[Callable[[], Any]] = []
    for text in TEXTS:
        question, pair = {"question": "Is it so?", "context": text}, {"premise": text, "hypothesis": "Aspirin works."}
        for decide in ("score", "generate"):
            calls.append(lambda decide=decide, question=question: outcome(answers[decide].invoke(question)))
            calls.append(lambda decide=decide, pair=pair: outcome(judges[decide].invoke(pair)))
        for llm in (answering, judging):
            calls.append(lambda llm=llm, text=text: llm.chat.invoke(text).text)
            calls.append(lambda llm=llm, text=text: "".join(chunk.text for chunk in llm.chat.stream(text)))
    return calls


def outcome(result: Any) -> Any:
    return result.output or {label: round(score, 3) for label, score in result.label_scores.items()}


def run(calls: list[Callable[[], Any]]) -> list[Any]:
    return [call() for call in calls]


def run_in_threads(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run all calls in ``THREADS`` threads, between which the interpreter switches as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    start = Barrier(THREADS)
    try:
        with ThreadPoolExecutor(THREADS, initializer=start.wait) as pool:
            return [future.result() for future in [pool.submit(call) for call in calls]]
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(("name", "precision"), [("gemma", "bfloat16"), ("llama2", "float32"), ("llama2", "4bit")])
def test_shared_models_equal_separate_models_in_eight_threads(folders, adapters, name: str, precision: str) -> None:
    plain = load(folders[name], precision)
    adapted = load(folders[name], precision, adapter=adapters[name])
    expected = run(make_calls(plain, adapted))
    calls_per_text = len(expected) // len(TEXTS)
    for model in (plain, adapted):  # the adapter changes answers and judgements
        assert run(make_calls(model, model)[:calls_per_text]) != expected[:calls_per_text]

    shared = share_base(load(folders[name], precision), adapters[name])
    assert run(make_calls(*shared)) == expected
    for _ in range(2):
        assert run_in_threads(make_calls(*shared)) == expected


def test_without_the_lock_results_in_threads_differ(folders, adapters, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(make_calls(load(folders["gemma"]), load(folders["gemma"], adapter=adapters["gemma"])))
    monkeypatch.setattr("chains.models.adapter_switch.RLock", nullcontext)
    unlocked = share_base(load(folders["gemma"]), adapters["gemma"])
    assert run(make_calls(*unlocked)) == expected  # one thread needs no lock
    assert any(run_in_threads(make_calls(*unlocked)) != expected for _ in range(20))


def test_judging_waits_while_the_guard_of_answering_is_open(folders, adapters) -> None:
    shared = share_base(load(folders["gemma"]), adapters["gemma"])
    done = Event()
    chain = nli_chain(shared.judging, LABELS)

    def judge() -> None:
        chain.invoke({"premise": TEXTS[0], "hypothesis": TEXTS[1]})
        done.set()

    with shared.answering.guard():
        thread = Thread(target=judge)
        thread.start()
        assert not done.wait(0.3)
    assert done.wait(10)
    thread.join()


def compute_logits(model: Any) -> torch.Tensor:
    """The model's logits for a fixed text."""
    with torch.no_grad():
        return model(torch.arange(3, 20)[None]).logits


def test_leaving_a_guard_restores_the_adapter_state(folders, adapters) -> None:
    llm = load(folders["gemma"])
    off = compute_logits(llm.model)
    shared = share_base(llm, adapters["gemma"])
    with shared.judging.guard():
        on = compute_logits(shared.judging.model)
        with shared.answering.guard():
            assert torch.equal(compute_logits(shared.answering.model), off)
        assert torch.equal(compute_logits(shared.judging.model), on)
        with pytest.raises(ZeroDivisionError), shared.answering.guard():
            1 / 0  # noqa: B018
        assert torch.equal(compute_logits(shared.judging.model), on)
    assert not torch.allclose(on, off, atol=0.1)
    assert torch.equal(compute_logits(shared.judging.model), off)
    assert torch.equal(on, compute_logits(load(folders["gemma"], adapter=adapters["gemma"]).model))


def storages(tensors: Iterable[torch.Tensor]) -> dict[int, int]:
    """The bytes of each tensor's memory, by address."""
    return {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}


def model_storages(model: Any) -> dict[int, int]:
    return storages([*model.parameters(), *model.buffers()])


def process_storages() -> dict[int, int]:
    gc.collect()
    tensors = [candidate for candidate in gc.get_objects() if issubclass(type(candidate), torch.Tensor)]
    return storages(tensor for tensor in tensors if not tensor.is_mkldnn)  # packed weights lack an address


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "4bit"])
def test_shared_models_need_only_the_adapter_s_memory_besides_the_base(folders, adapters, precision: str) -> None:
    llm = load(folders["gemma"], precision)
    base, before = model_storages(llm.model), process_storages()
    shared = share_base(llm, adapters["gemma"])
    after = process_storages()
    judging = model_storages(shared.judging.model)
    assert base.items() <= judging.items()
    assert model_storages(shared.answering.model) == judging  # the base contains the adapter's layers, switched off
    weights = [weight for name, weight in shared.judging.model.named_parameters() if "lora_" in name]
    adapter_bytes = sum(weight.numel() * weight.element_size() for weight in weights)
    assert sum(judging.values()) == sum(base.values()) + adapter_bytes
    assert sum(after.values()) - sum(before.values()) <= adapter_bytes


@pytest.mark.skipif(not packs_linear(), reason="the CPU has no kernels for packed weights")
def test_only_the_answering_model_is_packed(folders, adapters) -> None:
    plain = load(folders["llama2"])
    shared = share_base(load(folders["llama2"]), adapters["llama2"])
    assert shared.judging.packed is None
    assert shared.answering.packed is not None
    prompts = [[5, 6, 7], [8, 9]]
    assert plain.packed is not None
    torch.testing.assert_close(
        shared.answering.packed.next_token_log_probabilities(prompts),
        plain.packed.next_token_log_probabilities(prompts),
    )


def test_judging_runs_between_two_chunks_of_an_answer(folders, adapters) -> None:
    shared = share_base(load(folders["gemma"]), adapters["gemma"])
    expected = load(folders["gemma"], adapter=adapters["gemma"]).chat.invoke(TEXTS[0]).text
    stream = shared.answering.chat.stream(TEXTS[0])
    next(stream)
    assert shared.judging.chat.invoke(TEXTS[0]).text == expected


def test_every_call_enters_the_guard_once(folders) -> None:
    events: list[str] = []
    exited = Event()

    @contextmanager
    def guard() -> Iterator[None]:
        events.append("enter")
        yield
        events.append("exit")
        exited.set()

    llm = replace(load(folders["gemma"]), guard=guard)
    for call in (
        lambda: qa_chain(llm, context="none").invoke("Is it?"),
        lambda: qa_chain(llm, context="none", decide="generate").invoke("Is it?"),
        lambda: nli_chain(llm).invoke({"premise": TEXTS[0], "hypothesis": TEXTS[1]}),
        lambda: llm.chat.invoke("Is it?"),
        lambda: llm.chat.batch(["Is it?", "Was it?"]),
        lambda: list(llm.chat.stream("Is it?")),
    ):
        events.clear()
        exited.clear()
        call()
        assert exited.wait(10)  # a stream's thread exits after the last chunk
        assert events == ["enter", "exit"]


def test_a_base_with_an_adapter_is_refused(folders, adapters) -> None:
    for merged in (False, True):
        adapted = load(folders["chat"], adapter=adapters["chat"], merge_adapter=merged)
        with pytest.raises(UserError, match=r"already has .*`medground merge`"):
            share_base(adapted, adapters["chat"])
    shared = share_base(load(folders["chat"]), adapters["chat"])
    for llm in shared:
        with pytest.raises(UserError, match="cannot be loaded beside it"):
            share_base(llm, adapters["chat"])


def test_a_refused_adapter_leaves_the_base_unchanged(folders, adapters, tmp_path: Path) -> None:
    llm = load(folders["chat"])
    before, modules = compute_logits(llm.model), [name for name, _ in llm.model.named_modules()]
    wide = checkpoints.make_chat(tmp_path / "wide", hidden=128)
    misfit = checkpoints.make_adapter(wide, tmp_path / "adapter")
    for adapter in (misfit, tmp_path / "absent"):
        with pytest.raises(UserError, match=r"does not fit|no such folder"):
            share_base(llm, str(adapter))
    assert [name for name, _ in llm.model.named_modules()] == modules
    assert torch.equal(compute_logits(llm.model), before)
    shared = share_base(llm, adapters["chat"])
    assert shared.judging.config.adapter == adapters["chat"]
    assert shared.answering.config.adapter is None


def test_an_adapter_that_changes_biases_is_refused(folders, adapters, tmp_path: Path) -> None:
    """Biases stay changed while the adapter is switched off."""
    adapter = shutil.copytree(adapters["chat"], tmp_path / "adapter")
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, "bias": "all"}))
    with pytest.raises(UserError, match="was trained with bias all"):
        share_base(load(folders["chat"]), str(adapter))
