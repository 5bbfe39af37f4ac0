"""One base, two jobs: each gets what it gets alone, in any number of threads, and the weights are there once."""

import gc
import sys
from collections.abc import Callable, Iterator
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
    how = {"quantization": "4bit", "dtype": "float32"} if precision == "4bit" else {"dtype": precision}
    return load_llm(LLMConfig(model=str(folder), max_new_tokens=4, **how, **settings))


def jobs(answering: LocalLLM, judging: LocalLLM) -> list[Callable[[], Any]]:
    """Both kinds of work, scored, generated and through LangChain's interfaces, each in its own words."""
    answers = {how: qa_chain(answering, context="gold", decide=how) for how in ("score", "generate")}
    judges = {how: nli_chain(judging, LABELS, decide=how) for how in ("score", "generate")}
    work: list[Callable[[], Any]] = []
    for text in TEXTS:
        asked, pair = {"question": "Is it so?", "context": text}, {"premise": text, "hypothesis": "Aspirin works."}
        for how in ("score", "generate"):
            work.append(lambda how=how, asked=asked: outcome(answers[how].invoke(asked)))
            work.append(lambda how=how, pair=pair: outcome(judges[how].invoke(pair)))
        work.append(lambda text=text: answering.pipeline.invoke(text))
        work.append(lambda text=text: judging.pipeline.invoke(text))
        work.append(lambda text=text: "".join(answering.pipeline.stream(text)))
        work.append(lambda text=text: "".join(judging.pipeline.stream(text)))
        work.append(lambda text=text: judging.chat.invoke(text).content)
    return work


def outcome(result: Any) -> Any:
    return result.output or {label: round(score, 3) for label, score in result.label_scores.items()}


def in_threads(work: list[Callable[[], Any]]) -> list[Any]:
    """All jobs at once in ``THREADS`` threads; a thread loses the interpreter as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    start = Barrier(THREADS)
    try:
        with ThreadPoolExecutor(THREADS, initializer=start.wait) as pool:
            return [future.result() for future in [pool.submit(job) for job in work]]
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(("name", "precision"), [("gemma", "bfloat16"), ("llama2", "float32"), ("llama2", "4bit")])
def test_eight_threads_get_what_each_gets_alone(folders, adapters, name: str, precision: str) -> None:
    plain = load(folders[name], precision)
    adapted = load(folders[name], precision, adapter=adapters[name])
    alone = [job() for job in jobs(plain, adapted)]
    some = len(alone) // len(TEXTS)
    assert [job() for job in jobs(plain, plain)[:some]] != alone[:some]  # the adapter changes what is judged
    assert [job() for job in jobs(adapted, adapted)[:some]] != alone[:some]

    shared = share_base(load(folders[name], precision), adapters[name])
    assert [job() for job in jobs(*shared)] == alone
    for _ in range(2):
        assert in_threads(jobs(*shared)) == alone


def test_without_the_lock_the_threads_disturb_each_other(folders, adapters, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [job() for job in jobs(load(folders["gemma"]), load(folders["gemma"], adapter=adapters["gemma"]))]
    monkeypatch.setattr("chains.models.adapter_switch.RLock", nullcontext)
    unlocked = share_base(load(folders["gemma"]), adapters["gemma"])
    assert [job() for job in jobs(*unlocked)] == alone  # one thread needs no lock
    assert any(in_threads(jobs(*unlocked)) != alone for _ in range(20))


def test_a_pass_waits_until_the_other_job_s_is_over(folders, adapters) -> None:
    shared = share_base(load(folders["gemma"]), adapters["gemma"])
    done = Event()
    judge = nli_chain(shared.judging, LABELS)

    def judged() -> None:
        judge.invoke({"premise": TEXTS[0], "hypothesis": TEXTS[1]})
        done.set()

    with shared.answering.guard():
        thread = Thread(target=judged)
        thread.start()
        assert not done.wait(0.3)
    assert done.wait(10)
    thread.join()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(3, 20)[None]).logits


def test_guards_within_guards_and_none(folders, adapters) -> None:
    llm = load(folders["gemma"])
    off = logits(llm.model)
    shared = share_base(llm, adapters["gemma"])
    with shared.judging.guard():
        on = logits(shared.judging.model)
        with shared.answering.guard():
            assert torch.equal(logits(shared.answering.model), off)
        assert torch.equal(logits(shared.judging.model), on)
        with pytest.raises(ZeroDivisionError), shared.answering.guard():
            1 / 0  # noqa: B018
        assert torch.equal(logits(shared.judging.model), on)
    assert not torch.allclose(on, off, atol=0.1)
    assert torch.equal(logits(shared.judging.model), off)
    assert torch.equal(on, logits(load(folders["gemma"], adapter=adapters["gemma"]).model))


def storages(model: Any) -> dict[int, int]:
    return {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in [*model.parameters(), *model.buffers()]
    }


def all_storages() -> dict[int, int]:
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    plain = [tensor for tensor in tensors if not tensor.is_mkldnn]  # other tests' packed weights tell no address
    return {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in plain}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "4bit"])
def test_the_base_is_there_once(folders, adapters, precision: str) -> None:
    llm = load(folders["gemma"], precision)
    base, before = storages(llm.model), all_storages()
    shared = share_base(llm, adapters["gemma"])
    after = all_storages()
    of_judging = storages(shared.judging.model)
    assert base.items() <= of_judging.items()
    assert storages(shared.answering.model) == of_judging  # the adapter's layers lie in the base, switched off
    weights = [w for name, w in shared.judging.model.named_parameters() if "lora_" in name]
    adapter = sum(w.numel() * w.element_size() for w in weights)
    assert sum(of_judging.values()) == sum(base.values()) + adapter
    assert sum(after.values()) - sum(before.values()) <= adapter


@pytest.mark.skipif(not packs_linear(), reason="the processor has no kernels for packed weights")
def test_answering_keeps_the_packed_form_and_judging_has_none(folders, adapters) -> None:
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


def test_a_stream_that_is_left_early_does_not_hold_up_the_rest(folders, adapters) -> None:
    shared = share_base(load(folders["gemma"]), adapters["gemma"])
    alone = load(folders["gemma"], adapter=adapters["gemma"]).pipeline.invoke(TEXTS[0])
    stream: Iterator[str] = shared.answering.pipeline.stream(TEXTS[0])
    next(stream)
    assert shared.judging.pipeline.invoke(TEXTS[0]) == alone  # between two chunks, in the same thread


def test_every_use_of_the_model_is_guarded(folders) -> None:
    entered: list[str] = []
    left = Event()

    @contextmanager
    def guard() -> Iterator[None]:
        entered.append("in")
        yield
        entered.append("out")
        left.set()

    llm = replace(load(folders["gemma"]), guard=guard)
    for use in (
        lambda: qa_chain(llm, context="none").invoke("Is it?"),
        lambda: qa_chain(llm, context="none", decide="generate").invoke("Is it?"),
        lambda: nli_chain(llm).invoke({"premise": TEXTS[0], "hypothesis": TEXTS[1]}),
        lambda: llm.pipeline.invoke("Is it?"),
        lambda: list(llm.pipeline.stream("Is it?")),
        lambda: llm.pipeline.batch(["Is it?"]),
        lambda: llm.chat.invoke("Is it?"),
        lambda: list(llm.chat.stream("Is it?")),
    ):
        entered.clear()
        left.clear()
        use()
        assert left.wait(10)  # a stream's last chunk comes just before its thread leaves
        assert entered == ["in", "out"]


def test_a_base_with_an_adapter_takes_no_second_one(folders, adapters) -> None:
    for merged in (False, True):
        adapted = load(folders["chat"], adapter=adapters["chat"], merge_adapter=merged)
        with pytest.raises(UserError, match=r"already has .*`medground merge`"):
            share_base(adapted, adapters["chat"])
    shared = share_base(load(folders["chat"]), adapters["chat"])
    for llm in shared:
        with pytest.raises(UserError, match="cannot be loaded beside it"):
            share_base(llm, adapters["chat"])


def test_a_refused_adapter_leaves_the_base_as_it_was(folders, adapters, tmp_path: Path) -> None:
    llm = load(folders["chat"])
    before, parts = logits(llm.model), [name for name, _ in llm.model.named_modules()]
    wide = checkpoints.make_chat(tmp_path / "wide", hidden=128)
    other = checkpoints.make_adapter(wide, tmp_path / "adapter")
    for adapter in (str(other), str(tmp_path / "absent")):
        with pytest.raises(UserError, match=r"does not fit|no such folder"):
            share_base(llm, adapter)
    assert [name for name, _ in llm.model.named_modules()] == parts
    assert torch.equal(logits(llm.model), before)
    shared = share_base(llm, adapters["chat"])
    assert shared.judging.config.adapter == adapters["chat"]
    assert shared.answering.config.adapter is None
