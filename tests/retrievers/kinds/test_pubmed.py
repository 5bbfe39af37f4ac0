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
from retrievers.kinds.filtered import FilterConfig, FilteredRetriever
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


def test_articles_with_an_abstract_are_returned_in_pubmeds_order(url: str) -> None:
    results = PubMedRetriever(PubMedConfig(url=url)).invoke("Does aspirin help?")
    assert [article.id for article in results] == ["11", "9"]
    assert results[0].page_content == "Aspirin lowered the risk of stroke."
    assert results[0].metadata == {
        "id": "11",
        "source": "https://pubmed.ncbi.nlm.nih.gov/11/",
        "title": "Aspirin",
        "year": 2001,
        "score": 1.0,
    }
    assert results[1].page_content == "It was found & read."
    assert "year" not in results[1].metadata
    assert results[1].metadata["score"] == 0.5


def test_formatted_words_sections_and_mesh_headings_are_read(stub: StubPubMed, url: str) -> None:
    sections = [("BACKGROUND", "In <i>E. coli</i> it was <b>not</b> found."), ("RESULTS", "It was rare.")]
    xml = pubmed_xml([citation("11", "Found in <i>E. coli</i>?", sections, mesh=["Adult", "Escherichia coli"])])
    # The response for id 7 has no article.
    stub.articles, stub.order = {"11": {"xml": xml}, "7": {"xml": pubmed_xml([])}}, ["11", "7"]
    (article,) = PubMedRetriever(PubMedConfig(url=url)).invoke("coli?")
    assert article.page_content == "BACKGROUND: In E. coli it was not found.\n\nRESULTS: It was rare."
    assert article.metadata == {
        "id": "11",
        "source": "https://pubmed.ncbi.nlm.nih.gov/11/",
        "title": "Found in E. coli?",
        "journal": "Journal of made trials",
        "year": 2019,
        "mesh": ["Adult", "Escherichia coli"],
        "score": 1.0,
    }


def test_search_request_has_the_shortened_question_the_result_limit_and_the_api_key(
    stub: StubPubMed, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NCBI_API_KEY", "secret")
    PubMedRetriever(PubMedConfig(url=url)).search(["is it safe & " + "very " * 100], 2)
    search, *fetches = stub.requests
    assert (search["retmax"], search["sort"], search["api_key"]) == (["2"], ["relevance"], ["secret"])
    term = search["term"][0].strip("{}'")  # LangChain's retriever sends the question in these characters
    assert term.startswith("is it safe & very very")
    assert len(term) == 300
    assert [fetch["id"] for fetch in fetches] == [["11"], ["7"]]


# RetrieverContract (tests/helpers) needs a corpus; this test has its checks that apply without a corpus.
def test_pubmed_retriever_meets_the_retriever_contract(url: str, tmp_path: Path) -> None:
    retriever = make_retriever(
        PubMedConfig(url=url, top_k=2), [], corpus="c", embedders={}, store=StoreConfig(path=str(tmp_path))
    )
    alone = retriever.invoke("aspirin?")
    assert [article.id for article in alone] == ["11"]
    assert retriever.batch(["aspirin?", "coli?"]) == [alone, alone]
    assert asyncio.run(retriever.ainvoke("aspirin?")) == alone
    assert retriever.search([], 3) == []
    assert len(retriever.search(["aspirin?"], 3)[0]) == 2
    with pytest.raises(UserError, match="question is empty"):
        retriever.invoke(" ")
    with pytest.raises(UserError, match="at least 1"):
        retriever.search(["aspirin?"], 0)


def test_a_filter_over_pubmed_fetches_at_most_100_articles_at_a_time(stub: StubPubMed, url: str) -> None:
    stub.articles = {str(number): {"title": "t", "text": "aspirin", "year": 2001} for number in range(300)}
    stub.order = list(stub.articles)
    config = FilterConfig(retriever="pubmed", year_from=2010)
    assert FilteredRetriever(PubMedRetriever(PubMedConfig(url=url)), config).invoke("aspirin?") == []
    assert [request["retmax"] for request in stub.requests if "term" in request] == [["50"], ["100"]]


def test_an_article_listed_twice_is_returned_once(stub: StubPubMed, url: str) -> None:
    stub.order = ["9", "11", "9"]
    assert [article.id for article in PubMedRetriever(PubMedConfig(url=url)).invoke("q")] == ["9", "11"]


def test_a_busy_server_is_asked_again_without_output(
    stub: StubPubMed, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.busy = 1  # status 429 once
    assert len(PubMedRetriever(PubMedConfig(url=url)).invoke("q")) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, "broken"), "answered 500 .* Try again later"),
        ((429, "slow"), "answered 429 .* set NCBI_API_KEY"),
        ((200, "<html>proxy</html>"), "an answer that cannot be read"),
        ((200, "{}"), "an answer that cannot be read"),
        ((200, '{"esearchresult": {"webenv": "W", "idlist": [3]}}'), "an answer that cannot be read"),
    ],
)
def test_invalid_response_of_the_server_is_reported(
    stub: StubPubMed, url: str, answer: tuple[int, str], message: str
) -> None:
    stub.answer = answer
    with pytest.raises(UserError, match=f"PubMed at {url}.*{message}"):
        PubMedRetriever(PubMedConfig(url=url)).invoke("q")


def test_an_unreachable_server_is_reported() -> None:
    with pytest.raises(UserError, match=r"cannot be reached .* Check the network"):
        PubMedRetriever(PubMedConfig(url="http://127.0.0.1:9/eutils")).invoke("q")


def test_a_missing_package_is_reported_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("langchain_community.retrievers", "xmltodict"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(UserError, match="pip install langchain-community xmltodict"):
                PubMedRetriever()


def test_default_retrievers_do_not_import_langchain_community(tmp_path: Path) -> None:
    code = (
        "import sys; from medground.settings import load_settings; from medground.ingest import Corpus; "
        "from medground.pipeline import Pipeline; settings = load_settings(None, "
        "{'store.path': sys.argv[1], 'embedders.minilm.dtype': 'float32'}); "
        "retrievers = Pipeline.from_settings(settings, Corpus('none', []), quiet=True).retrievers(); "
        "[retriever.search(['q'], 1) for retriever in retrievers.values()]; "
        "print([name for name in sys.modules if name.startswith('langchain_community')])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout.strip() == "[]"
