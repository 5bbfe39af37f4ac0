from collections.abc import Sequence

import pytest
from embedders import WordEmbedder
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from chains.answer import Passage
from chains.citations import best_of_each, cite, coverage, notices, select
from retrievers.base import Frequencies
from retrievers.kinds.bm25 import BM25Retriever

TEXT = (
    "Stroke is common. Patients (n = 40, aged 60.5 yrs, Smith et al. 2009) took aspirin vs. placebo. "
    "Aspirin reduced strokes (p = .03)."
)


def test_quotes_are_verbatim_and_best_first() -> None:
    passage = Passage(id="a", text=TEXT)
    citations = cite("Does aspirin reduce stroke?", [passage])
    assert citations[0].quote == "Aspirin reduced strokes (p = .03)."
    assert citations[0].score > 0.9
    assert [citation.score for citation in citations] == sorted((c.score for c in citations), reverse=True)
    for citation in citations:
        assert TEXT[citation.start : citation.end] == citation.quote
        assert 0 < citation.score <= 1


def test_rare_words_weigh_more() -> None:
    passage = Passage(id="a", text="Patients were seen. Patients were old. Patients left. Warfarin was given.")
    assert cite("Did patients get warfarin?", [passage])[0].quote == "Warfarin was given."


def test_words_that_are_rare_in_the_corpus_weigh_more() -> None:
    passages = [
        Passage(id="a", text="Rash followed ilvastat. Patients on ilvastat had a rash. Rash was mild."),
        Passage(id="b", text="The drug caused fever. Adults slept."),
    ]
    question = "Drugs that cause a rash"
    corpus = BM25Retriever(
        [Document(page_content=f"The drug number {number} causes sleep.") for number in range(40)]
        + [Document(page_content=passage.text) for passage in passages]
    )
    assert corpus.frequencies({"drug", "rash", "absent"}) == Frequencies(42, {"drug": 41, "rash": 1, "absent": 0})
    assert cite(question, passages)[0].quote == "The drug caused fever."
    assert "ash" in cite(question, passages, frequencies=corpus.frequencies)[0].quote


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("Which drug has tinnitus as an effect?", "drug"),
        ("What drug causes tinnitus?", "drug"),
        ("In which trial was tinnitus seen?", "trial"),
        ("Which tablets prevented tinnitus?", "tablets"),
        ("Bei welchem Mittel trat Tinnitus auf?", "Mittel"),
    ],
)
def test_the_kind_of_what_is_asked_for_weighs_less(question: str, named: str) -> None:
    passages = [
        Passage(id="a", text="Adults on solaprine had tinnitus. Tinnitus lasted a week. Tinnitus passed."),
        Passage(id="b", text=f"One {named} was new. Adults slept."),
    ]
    assert "innitus" in cite(question, passages)[0].quote
    assert named in cite(f"{named} tinnitus", passages)[0].quote


def test_a_corpus_without_words_changes_no_weight() -> None:
    passage = Passage(id="a", text="Patients were seen. Warfarin was given.")
    nothing = BM25Retriever([Document(page_content="- -")])
    assert cite("Did patients get warfarin?", [passage]) == cite(
        "Did patients get warfarin?", [passage], frequencies=nothing.frequencies
    )


STUDY = (
    "Pain after knee surgery is common. The aim of this study was to determine whether ice reduces pain after knee "
    "surgery. We randomly assigned 80 patients to ice or usual care. Pain was significantly lower with ice (p=0.01)."
)


def test_what_was_found_comes_before_what_was_asked() -> None:
    found, *others = cite("Does ice reduce pain after knee surgery?", [Passage(id="a", text=STUDY)])
    assert found.quote == "Pain was significantly lower with ice (p=0.01)."
    assert [other.quote.split()[0] for other in others[-2:]] == ["We", "The"]


def test_a_finding_of_another_passage_does_not_come_before_what_is_near() -> None:
    other = Passage(id="b", text="Pain was significantly lower in 62% of men with gout than in women (p<0.001).")
    cited = cite("Does ice reduce pain after knee surgery?", [other, Passage(id="a", text=STUDY)])
    assert cited[0].passage_id == "a"


def test_what_is_no_study_is_cited_by_its_words() -> None:
    text = (
        "Give 300 mg aspirin at once unless bleeding is likely. Thrombolysis is offered within 4.5 hours of onset. "
        "Swallowing must be tested before anything is given by mouth."
    )
    for question, quote in (
        ("How much aspirin is given unless bleeding is likely?", "Give 300 mg"),
        ("Within how many hours is thrombolysis offered?", "Thrombolysis is"),
        ("What is tested before food is given by mouth?", "Swallowing must"),
    ):
        assert cite(question, [Passage(id="a", text=text)])[0].quote.startswith(quote)


ORDERS = (
    "**Children over 12 years:** 500 micrograms IM. **Children 6 to 12 years:** 300 micrograms IM. Repeat after 5 "
    "minutes if there is no improvement. Do not give adrenaline into a vein."
)


def test_what_reads_like_a_finding_does_not_lead_where_no_study_is_told() -> None:
    guide = Passage(id="a", text=ORDERS, metadata={"section": "Adrenaline"})
    found = cite("What dose of adrenaline is given to a child of 8 years in anaphylaxis?", [guide])
    assert [one.quote[:10] for one in found[:2]] == ["**Children"] * 2
    # One study among guidelines has its aims marked down all the same.
    others = [Passage(id="b", text="Give 300 mg."), Passage(id="c", text="Wait an hour.")]
    ranked = cite("Does ice reduce pain after knee surgery?", [*others, guide, Passage(id="d", text=STUDY)])
    assert ranked[0].quote == "Pain was significantly lower with ice (p=0.01)."
    assert ranked[-1].quote.startswith("The aim")


def test_the_documents_title_speaks_for_its_passages() -> None:
    ketones = Passage(
        id="a", text="Check it hourly. Start insulin at 0.1 units/kg/h.", metadata={"title": "Ketoacidosis"}
    )
    ward = Passage(id="b", text="Start insulin at 2 mL/h.", metadata={"title": "Variable rate infusion"})
    assert cite("How is insulin started in ketoacidosis?", [ward, ketones])[0].quote.endswith("units/kg/h.")


def test_an_underlined_heading_is_no_answer() -> None:
    text = "Apixaban\n--------\n\nIt is given twice daily.\n\n---\n"
    passage = Passage(id="a", text=text, metadata={"section": "Apixaban"})
    assert [one.quote[:8] for one in cite("How often is apixaban taken?", [passage])] == ["It is gi", "Apixaban"]


GUIDE = (
    "# Aspirin after stroke\n\n## Dose of aspirin\n\nGive 300 mg on the first day. Later 75 mg daily are enough.\n\n"
    "## Contraindications\n\n- Active peptic ulcer\n- Allergy to aspirin"
)


def test_a_heading_is_no_answer_but_speaks_for_what_stands_below() -> None:
    cited = cite("What are contraindications?", [Passage(id="a", text=GUIDE)])
    assert {one.quote for one in cited[:2]} == {"- Active peptic ulcer", "- Allergy to aspirin"}
    cited = cite("What dose of aspirin is right?", [Passage(id="a", text=GUIDE)])
    assert {one.quote[-20:] for one in cited[:2]} == {"mg on the first day.", "75 mg daily are enough."[-20:]}
    assert all(GUIDE[one.start : one.end] == one.quote for one in cited)


def test_headings_without_a_mark_are_known_by_the_metadata() -> None:
    text = "Feet in diabetes\n\nHow often are feet seen?\n\nThey are seen once a year.\n\nUlcers\n\nRefer them."
    known = {"title": "Feet in diabetes", "section": "How often are feet seen?; Ulcers"}
    cited = cite("How often are feet seen in diabetes?", [Passage(id="a", text=text, metadata=known)])
    assert [one.quote for one in cited][:1] == ["They are seen once a year."]
    assert cited[-1].score < 0.1
    later = Passage(id="b", text="Refer them.", metadata={"section": "Ulcers"})
    assert [one.quote for one in cite("What about ulcers?", [later])] == ["Refer them."]


def test_a_question_in_a_text_is_no_answer() -> None:
    text = "Does ice reduce pain after surgery? Ice was cold. Pain fell."
    assert cite("Does ice reduce pain after surgery?", [Passage(id="a", text=text)])[-1].quote.endswith("?")


def test_the_nearest_sentence_counts_with_its_heading() -> None:
    assert select("What are contraindications to aspirin?", [Passage(id="a", text=GUIDE)]).nearest == 1
    assert select("What are contraindications to aspirin?", []).is_weak


def test_the_nearest_sentence_counts_with_its_documents_title() -> None:
    observed = Passage(id="a", text="Observe for at least 6 hours.", metadata={"title": "Anaphylaxis"})
    untitled = observed.model_copy(update={"metadata": {}})
    question = "How long is a patient observed after anaphylaxis?"
    assert not select(question, [observed]).is_weak
    assert select(question, [untitled]).is_weak


def test_a_cross_encoder_ranks_the_sentences_with_nearness() -> None:
    passage = Passage(id="a", text="Aspirin and stroke were studied. The risk was halved. Patients slept.")
    question, asked = "Does aspirin reduce stroke?", []

    def relevance(question: str, texts: Sequence[str]) -> list[float]:
        asked.append((question, list(texts)))
        return [float("halved" in text) for text in texts]

    assert cite(question, [passage], WordEmbedder())[0].quote == "Aspirin and stroke were studied."
    found = cite(question, [passage], WordEmbedder(), relevance=relevance)
    assert found[0].quote == "The risk was halved."
    assert all(0 < one.score <= 1 for one in found)
    assert [(question, len(texts)) for question, texts in asked] == [(question, 3)]


def test_a_cross_encoder_reads_the_best_sentences_only() -> None:
    passage = Passage(id="a", text="Aspirin reduces stroke. " + "".join(f"Patient {n} slept. " for n in range(60)))
    read: list[str] = []

    def relevance(question: str, texts: Sequence[str]) -> list[float]:
        read.extend(texts)
        return [1.0 for _ in texts]

    cited = cite("Does aspirin reduce stroke?", [passage], WordEmbedder(), relevance=relevance)
    assert len(read) == 24
    assert cited[0].quote == read[0] == "Aspirin reduces stroke."


def test_one_citation_a_passage() -> None:
    passages = [Passage(id="a", text="Aspirin. Any aspirin."), Passage(id="b", text="Aspirin too. Other text.")]
    best = best_of_each(cite("aspirin", passages))
    assert [(citation.passage_id, citation.quote) for citation in best] == [("a", "Aspirin."), ("b", "Aspirin too.")]


def test_nothing_shared_cites_nothing() -> None:
    assert cite("Does it?", [Passage(id="a", text=TEXT)]) == []
    assert cite("Warum?", [Passage(id="a", text=TEXT)]) == []
    assert cite("aspirin", []) == []


def test_other_scripts() -> None:
    passage = Passage(id="a", text="Аспирин снижает риск инсульта. Пациенты были пожилыми.")
    assert cite("Снижает ли аспирин риск?", [passage])[0].quote == "Аспирин снижает риск инсульта."


def test_coverage_weighs_words_that_few_texts_have_and_ignores_the_rest() -> None:
    texts = ["Aspirin was given to adults.", "Adults slept.", "Adults walked.", ""]
    named, common, same, empty = coverage("Does aspirin help adults?", texts)
    assert named > 2 * common == 2 * same > empty == 0
    assert coverage("Does aspirin help adults?", ["Aspirin helps adults."]) == [1.0]
    assert coverage("Is it so?", ["Is it so."]) == [0.0]


class Topics(Embeddings):
    """Vectors of which each number counts the words of one topic."""

    TOPICS = (("kidney", "renal", "nephro"), ("drug", "pill", "tablet", "aspirin"), ("sleep", "insomnia"))

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.batches.append(len(texts))
        return [[float(sum(text.lower().count(word) for word in words)) for words in self.TOPICS] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_meaning_finds_the_sentence_that_shares_no_word() -> None:
    passages = [
        Passage(id="a", text="Patients slept well. Renal function fell in 4 of 90 adults."),
        Passage(id="b", text="Sleep."),
    ]
    embedder = Topics()
    found = cite("What happens to the kidneys?", passages, embedder)
    assert found[0].quote == "Renal function fell in 4 of 90 adults."
    assert embedder.batches == [1, 3]  # all sentences of all passages in one batch
    assert cite("What happens to the kidneys?", passages) == []


def test_words_still_count_beside_meaning() -> None:
    text = "The tablet has 5 mg. The tablet has a score line."
    assert cite("Does the drug have a score line?", [Passage(id="a", text=text)], Topics())[0].quote.endswith("line.")


def test_an_embedder_of_zeros_leaves_the_words() -> None:
    found = cite("Does walking help?", [Passage(id="a", text="Rest is common. Walking helped.")], Topics())
    assert found[0].quote == "Walking helped."


def test_a_sentence_of_several_passages_is_quoted_once_with_their_names() -> None:
    same = "Ice reduced pain in 80 patients."
    passages = [
        Passage(id="a", text=f"{same} It is cheap.", metadata={"source": "a.pdf"}),
        Passage(id="b", text=f"{same.upper()}\n\nHeat did not.", metadata={"source": "b.pdf", "page": 3}),
        Passage(id="c", text=same),
    ]
    found = cite("Did ice reduce pain?", passages)
    assert [one.quote for one in found if "ice" in one.quote.lower()] == [same]
    assert found[0].also_in == ("b.pdf, page 3", "c")


def test_a_sentence_that_refers_back_is_quoted_with_the_one_before() -> None:
    text = "Ice reduced pain in men. This was not true of women. Heat was not studied."
    (first, *rest) = cite("Was it true of women?", [Passage(id="a", text=text)])
    assert first.quote == text[: text.index(" Heat")] == text[first.start : first.end]
    assert all("women" not in one.quote for one in rest)
    both = cite("Did ice reduce pain in men and women?", [Passage(id="a", text=text)])
    assert [one.quote for one in both] == [first.quote]


def test_a_row_is_quoted_with_its_headings() -> None:
    text = "| Drug | Dose | Route |\n|---|---|---|\n| Calcium | 500 mg | oral |\n| Zinc | 20 mg | oral |"
    found = cite("What is the dose of zinc?", [Passage(id="a", text=text)])
    assert found[0].quote == "| Zinc | 20 mg | oral |"
    assert found[0].readable == "Drug: Zinc; Dose: 20 mg; Route: oral"
    two = cite("What is the dose of zinc?", [Passage(id="a", text="Drug\tDose\nCalcium\t500 mg\nZinc\t20 mg")])
    assert two[0].readable == "Drug: Zinc; Dose: 20 mg"


def test_references_and_contents_are_never_quoted() -> None:
    text = (
        "Contents\n\nIce for pain .... 3\n\nPain did not change.\n\nReferences\n\n"
        "1. Alm A, Berg B. Ice reduces pain after knee surgery. J Cold. 2011;4:12-19."
    )
    quotes = [one.quote for one in cite("Does ice reduce pain after knee surgery?", [Passage(id="a", text=text)])]
    assert quotes[0] == "Pain did not change."
    assert not any("Berg" in quote or "...." in quote for quote in quotes)


def test_notices_name_the_passage() -> None:
    passages = [
        Passage(id="1", text="A.", metadata={"notice": "Retracted", "title": "RETRACTED: Ice"}),
        Passage(id="2", text="B.", metadata={"notice": "Expression of concern"}),
        Passage(id="3", text="C."),
    ]
    assert notices(passages) == ["RETRACTED: Ice", "Expression of concern: 2"]
