"""finetune/merge.py: the merged model equals base + adapter, and unusable arguments are refused."""

import json
import resource
import shutil
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from chains.config import LLMConfig
from chains.models.local import EMBEDDED, load_llm
from common.errors import UserError
from common.fingerprints import to_jsonable
from corpus.inference.pairs import NLIPair
from finetune.agreement import Comparison
from finetune.merge import BOUNDS, Bound, MergeReport, merge

LABELS = ("entailment", "neutral", "contradiction")
PAIRS = [
    NLIPair(f"p{number}", premise, hypothesis, LABELS[number % 3])
    for number, (premise, hypothesis) in enumerate(
        product(
            ("Aspirin reduced the risk of stroke.", "Bleeding did not change. Patients were old."),
            ("Aspirin works.", "Placebo reduced bleeding."),
        )
    )
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: checkpoints.MAKERS[name](root / name) for name in ("gemma", "llama2", "gpt2")}


@pytest.fixture(scope="module")
def adapters(bases, tmp_path_factory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("adapters")
    return {name: str(checkpoints.make_adapter(base, root / name)) for name, base in bases.items()}


def run_merge(adapter: str, output: Path, *, llm: dict[str, Any] | None = None, **arguments: Any) -> MergeReport:
    """Merge in float32 on the CPU and compare on ``PAIRS``, unless the arguments say otherwise."""
    settings = {"dtype": "float32", "device_map": "cpu", **(llm or {})}
    arguments = {"pairs": PAIRS, "labels": LABELS, "quiet": True, **arguments}
    return merge(adapter, output, llm=LLMConfig(**settings), **arguments)


def error_message(adapter: str, output: Path, **arguments: Any) -> str:
    """The message of a merge that fails and leaves no files."""
    with pytest.raises(UserError) as caught:
        run_merge(adapter, output, **arguments)
    assert not output.exists()
    assert not list(output.parent.glob(f".{output.name}*"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "dtype"), [("gemma", "float32"), ("gemma", "bfloat16"), ("llama2", "bfloat16"), ("gpt2", "float32")]
)
def test_the_merged_model_has_the_logits_of_base_and_adapter(
    bases, adapters, tmp_path: Path, name: str, dtype: str
) -> None:
    report = run_merge(adapters[name], tmp_path / "merged", llm={"dtype": dtype})
    report.check()
    assert report.passed
    assert report.base == str(bases[name])  # from the adapter's configuration
    assert report.pairs == len(PAIRS)
    assert report.compared.agreement >= BOUNDS[dtype].agreement
    assert report.compared.logit_difference <= BOUNDS[dtype].logit_difference
    assert report.nf4 is not None
    assert report.nf4.logit_difference > report.compared.logit_difference
    assert set(report.accuracy) == {"adapter", "merged", "nf4"}
    stored = json.loads((tmp_path / "merged" / "merge.json").read_text())
    assert stored == to_jsonable(asdict(report))
    assert f"within the bound for {dtype}" in report.text()

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert model.dtype == getattr(torch, dtype)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    attached = load_llm(LLMConfig(model=str(bases[name]), adapter=adapters[name], dtype=dtype, device_map="cpu"))
    assert tokenizer.chat_template == attached.tokenizer.chat_template
    base = load_llm(LLMConfig(model=str(bases[name]), dtype=dtype, device_map="cpu"))
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        expected, merged, unadapted = (each(ids).logits.float() for each in (attached.model, model, base.model))
    tolerance = {"float32": 1e-4, "bfloat16": 0.2}[dtype]
    assert (expected - merged).abs().max() < tolerance < (expected - unadapted).abs().max()


def test_an_adapter_of_another_installations_embedded_model_is_merged(tmp_path: Path) -> None:
    base_name = "/another/installation/chains/embedded"
    adapter = checkpoints.make_adapter(EMBEDDED, tmp_path / "adapter", base_name=base_name)
    report = run_merge(str(adapter), tmp_path / "new" / "merged", pairs=PAIRS[:2])
    assert report.base == "embedded"
    assert report.passed
    assert load_llm(LLMConfig(model=report.output)).window == 1024


def test_llm_model_takes_precedence_over_the_base_that_the_adapter_names(bases, adapters, tmp_path: Path) -> None:
    copy = shutil.copytree(bases["gemma"], tmp_path / "copy")
    assert run_merge(adapters["gemma"], tmp_path / "merged", llm={"model": str(copy)}).base == str(copy)


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_a_setting_to_quantise_the_base_is_refused(adapters, tmp_path: Path, quantization: str) -> None:
    message = error_message(adapters["gemma"], tmp_path / "merged", llm={"quantization": quantization})
    assert f"llm.quantization is {quantization}" in message
    assert "Set llm.quantization to none" in message


def test_a_base_stored_in_4_bits_is_refused(bases, adapters, tmp_path: Path) -> None:
    llm = load_llm(LLMConfig(model=str(bases["gemma"]), quantization="4bit", dtype="float32"))
    llm.model.save_pretrained(tmp_path / "stored")
    llm.tokenizer.save_pretrained(tmp_path / "stored")
    message = error_message(adapters["gemma"], tmp_path / "merged", llm={"model": str(tmp_path / "stored")})
    assert "16- or 32-bit original" in message


def test_unsuitable_and_missing_bases_adapters_and_pairs_are_refused(bases, adapters, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    assert "does not fit" in error_message(adapters["gpt2"], out, llm={"model": str(bases["gemma"])})
    assert "no such folder" in error_message(str(tmp_path / "absent"), out)
    orphan = shutil.copytree(adapters["gemma"], tmp_path / "orphan")
    settings = json.loads((orphan / "adapter_config.json").read_text())
    absent = str(tmp_path / "absent")
    (orphan / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": absent}))
    assert f"was trained on {absent}, and there is no such folder. Set llm.model to its base" in error_message(
        str(orphan), out
    )
    assert "no pairs to compare" in error_message(adapters["gemma"], out, pairs=[])
    assert "two labels or more; there is neutral" in error_message(adapters["gemma"], out, labels=["neutral"])


def test_the_output_must_be_a_new_or_empty_folder(adapters, tmp_path: Path) -> None:
    file = tmp_path / "used" / "notes.txt"
    file.parent.mkdir()
    file.write_text("notes")
    for output in (file.parent, file):
        with pytest.raises(UserError, match="already exists"):
            run_merge(adapters["gemma"], output)
    with pytest.raises(UserError, match="cannot be written"):
        run_merge(adapters["gemma"], file / "merged")
    assert file.read_text() == "notes"
    (tmp_path / "empty").mkdir()
    assert run_merge(adapters["gemma"], tmp_path / "empty", pairs=PAIRS[:1]).passed


def test_too_little_disk_space_is_reported_and_leaves_no_files(
    adapters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # the weights take 400 kB
    try:
        message = error_message(adapters["gemma"], tmp_path / "merged")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written" in message
    assert "File too large" in message
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=100_000))
    assert "0.0001 GB are free" in error_message(adapters["gemma"], tmp_path / "merged")


def test_a_merge_outside_the_bound_fails_and_keeps_its_files(
    adapters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A wrong merge, which drops the adapter.
    monkeypatch.setattr("finetune.merge.merge_adapter", lambda attached, adapter: attached.unload())
    report = run_merge(adapters["gemma"], tmp_path / "merged")
    assert not report.passed
    assert "OUTSIDE the bound for float32: at least 100% and at most 0.01" in report.text()
    with pytest.raises(UserError, match=r"The files are kept. Use the adapter unmerged"):
        report.check()
    assert json.loads((tmp_path / "merged" / "merge.json").read_text())["passed"] is False
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    with pytest.raises(UserError, match=r"with llm\.dtype float32, or use"):
        replace(report, dtype="bfloat16").check()


def test_a_bound_includes_comparisons_within_its_limits_but_not_nan() -> None:
    unlimited = Bound(0.0, float("inf"))
    assert unlimited.includes(Comparison(0.0, 1e9))
    assert not unlimited.includes(Comparison(1.0, float("nan")))
    assert not Bound(0.99, 1.0).includes(Comparison(0.98, 0.0))
    assert not Bound(0.99, 1.0).includes(Comparison(1.0, 1.5))


def test_pairs_longer_than_the_window_are_counted(adapters, tmp_path: Path) -> None:
    long = NLIPair("long", "Aspirin reduced the risk of stroke. " * 200, "Aspirin works.", "entailment")
    report = run_merge(adapters["gemma"], tmp_path / "merged", pairs=[*PAIRS, long])
    assert (report.pairs, report.too_long) == (len(PAIRS), 1)
    assert "(1 are too long" in report.text()


def test_the_report_states_why_there_is_no_4_bit_comparison(
    adapters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(config: LLMConfig) -> Any:
        if config.quantization == "4bit":
            raise UserError("it cannot be quantised here")
        return load_llm(config)

    monkeypatch.setattr("finetune.merge.load_llm", load)
    report = run_merge(adapters["gemma"], tmp_path / "merged")
    assert report.passed
    assert report.nf4 is None
    assert "Not compared with the adapter on a base in 4 bits: it cannot be quantised here" in report.text()


def test_a_note_names_the_prompt_family_if_the_new_folder_name_does_not_show_it(tmp_path: Path) -> None:
    base = checkpoints.make_chat(tmp_path / "llama-2-base")
    adapter = str(checkpoints.make_adapter(base, tmp_path / "adapter"))
    report = run_merge(adapter, tmp_path / "merged")
    assert report.prompt_family == "llama2"
    assert report.notes == ("Set prompt.family to llama2 with this model: its name no longer shows the family.",)
    assert run_merge(adapter, tmp_path / "generic", prompt_family="generic").notes == ()
