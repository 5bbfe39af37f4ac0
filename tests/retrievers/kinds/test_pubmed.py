import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from document_files import citation, pubmed_xml
from stub_pubmed import StubPubMed

from common.errors import UserError
from retrievers import make_retriever
from retrievers.config import StoreConfig
from retrievers.kinds.pubmed import PubMedConfig, PubMedRetriever

ARTICLES = {
    "11": {"title": "Aspirin", "text": "Aspirin lowered the risk of stroke.", "year": 2001},
    "7": {"title": "Silent"},
    "9": {"title": "The <i>E. coli</i> gene", "text": "It was found & read."},
}


@pytest.fixture
def stub() -> StubPubMed:
    return StubPubMed(ARTICLES)


@pytest.fixture
def url(stub: StubPubMed) -> Iterator[str]:
    with stub.running() as address:
        yield address


def test_articles_come_in_pubmeds_order_with_what_is_known_of_them(url: str) -> None:
    found = PubMedRetriever(PubMedConfig(url=url)).invoke("Does aspirin help?")
    assert [one.id for one in found] == ["11", "9"]
    assert found[0].page_content == "Aspirin lowered the risk of stroke."
    assert found[0].metadata == {
        "id": "11",
        "source": "https://pubmed.ncbi.nlm.nih.gov/11/",
        "title": "Aspirin",
        "year": 2001,
        "score": 1.0,
    }
    assert found[1].page_content == "It was found & read."
    assert "year" not in found[1].metadata
    assert found[1].metadata["score"] == 0.5


def test_an_abstract_keeps_its_words_in_their_places(stub: StubPubMed, url: str) -> None:
    sections = [("BACKGROUND", "In <i>E. coli</i> it was <b>not</b> found."), ("RESULTS", "It was rare.")]
    whole = citation("11", "Found in <i>E. coli</i>?", sections, mesh=["Adult", "Escherichia coli"])
    stub.articles, stub.order = {"11": {"xml": pubmed_xml([whole])}, "7": {"xml": pubmed_xml([])}}, ["11", "7"]
    (found,) = PubMedRetriever(PubMedConfig(url=url)).invoke("coli?")
    assert found.page_content == "BACKGROUND: In E. coli it was not found.\n\nRESULTS: It was rare."
    assert found.metadata == {
        "id": "11",
        "source": "https://pubmed.ncbi.nlm.nih.gov/11/",
        "title": "Found in E. coli?",
        "journal": "Journal of made trials",
        "year": 2019,
        "mesh": ["Adult", "Escherichia coli"],
        "score": 1.0,
    }


def test_what_is_sent(stub: StubPubMed, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCBI_API_KEY", "secret")
    PubMedRetriever(PubMedConfig(url=url)).search(["is it safe & " + "very " * 100], 2)
    search, *fetched = stub.requests
    assert (search["retmax"], search["sort"], search["api_key"]) == (["2"], ["relevance"], ["secret"])
    assert search["term"][0].strip("{}'").startswith("is it safe & very very")
    assert len(search["term"][0].strip("{}'")) == 300
    assert [one["id"] for one in fetched] == [["11"], ["7"]]


def test_the_contract(url: str, tmp_path: Path) -> None:
    retriever = make_retriever(
        PubMedConfig(url=url, top_k=2), [], corpus="c", embedders={}, store=StoreConfig(path=str(tmp_path))
    )
    alone = retriever.invoke("aspirin?")
    assert [one.id for one in alone] == ["11"]
    assert retriever.batch(["aspirin?", "coli?"]) == [alone, alone]
    assert asyncio.run(retriever.ainvoke("aspirin?")) == alone
    assert retriever.search([], 3) == []
    assert len(retriever.search(["aspirin?"], 3)[0]) == 2
    with pytest.raises(UserError, match="question is empty"):
        retriever.invoke(" ")
    with pytest.raises(UserError, match="at least 1"):
        retriever.search(["aspirin?"], 0)


def test_an_article_named_twice_is_found_once(stub: StubPubMed, url: str) -> None:
    stub.order = ["9", "11", "9"]
    assert [one.id for one in PubMedRetriever(PubMedConfig(url=url)).invoke("q")] == ["9", "11"]


def test_a_server_that_asks_for_time_gets_it_and_nothing_is_printed(
    stub: StubPubMed, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.busy = 1
    assert len(PubMedRetriever(PubMedConfig(url=url)).invoke("q")) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((500, "broken"), "answered 500 .* Try again later"),
        ((429, "slow"), "answered 429 .* set NCBI_API_KEY"),
        ((200, "<html>proxy</html>"), "an answer that cannot be read"),
        ((200, "{}"), "an answer that cannot be read"),
        ((200, '{"esearchresult": {"webenv": "W", "idlist": [3]}}'), "an answer that cannot be read"),
    ],
)
def test_what_a_server_can_get_wrong(stub: StubPubMed, url: str, answer: tuple[int, str], told: str) -> None:
    stub.answer = answer
    with pytest.raises(UserError, match=f"PubMed at {url}.*{told}"):
        PubMedRetriever(PubMedConfig(url=url)).invoke("q")


def test_no_server() -> None:
    with pytest.raises(UserError, match=r"cannot be reached .* Check the network"):
        PubMedRetriever(PubMedConfig(url="http://127.0.0.1:9/eutils")).invoke("q")


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("langchain_community.retrievers", "xmltodict"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(UserError, match="pip install langchain-community xmltodict"):
                PubMedRetriever()


def test_the_default_settings_never_touch_it(tmp_path: Path) -> None:
    code = (
        "import sys; from medground.settings import load_settings; from medground.ingest import Corpus; "
        "from medground.pipeline import Pipeline; settings = load_settings(None, "
        "{'store.path': sys.argv[1], 'embedders.minilm.dtype': 'float32'}); "
        "made = Pipeline.from_settings(settings, Corpus('none', []), quiet=True).retrievers(); "
        "[one.search(['q'], 1) for one in made.values()]; "
        "print([name for name in sys.modules if name.startswith('langchain_community')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.strip() == "[]"
