from collections.abc import Sequence

import pytest
from embedders import WordEmbedder
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from chains.answer import Passage
from chains.citations import RERANKED_SENTENCES, asks_for_fact, best_per_passage, cite, coverage, notices, select
from retrievers.base import Frequencies
from retrievers.kinds.bm25 import BM25Retriever

# Abbreviations and numbers have full stops that end no sentence.
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
    assert "rash" in cite(question, passages, frequencies=corpus.frequencies)[0].quote.lower()


@pytest.mark.parametrize(
    ("question", "noun"),
    [
        ("Which drug has tinnitus as an effect?", "drug"),
        ("What drug causes tinnitus?", "drug"),
        ("In which trial was tinnitus seen?", "trial"),
        ("Which tablets prevented tinnitus?", "tablets"),
        ("Bei welchem Mittel trat Tinnitus auf?", "Mittel"),
    ],
)
def test_noun_of_a_which_question_weighs_less(question: str, noun: str) -> None:
    passages = [
        Passage(id="a", text="Adults on solaprine had tinnitus. Tinnitus lasted a week. Tinnitus passed."),
        Passage(id="b", text=f"One {noun} was new. Adults slept."),
    ]
    assert "tinnitus" in cite(question, passages)[0].quote.lower()
    assert noun in cite(f"{noun} tinnitus", passages)[0].quote


def test_corpus_without_words_changes_no_weight() -> None:
    passage = Passage(id="a", text="Patients were seen. Warfarin was given.")
    empty_corpus = BM25Retriever([Document(page_content="- -")])
    question = "Did patients get warfarin?"
    assert cite(question, [passage]) == cite(question, [passage], frequencies=empty_corpus.frequencies)


# An abstract: background, aim, method and finding.
STUDY = (
    "Pain after knee surgery is common. The aim of this study was to determine whether ice reduces pain after knee "
    "surgery. We randomly assigned 80 patients to ice or usual care. Pain was significantly lower with ice (p=0.01)."
)


def test_finding_ranks_above_aims_and_methods() -> None:
    first, *others = cite("Does ice reduce pain after knee surgery?", [Passage(id="a", text=STUDY)])
    assert first.quote == "Pain was significantly lower with ice (p=0.01)."
    assert [one.quote.split()[0] for one in others[-2:]] == ["We", "The"]  # the methods, then the aim


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many women took part?", True),
        ("In which trial was it seen?", True),
        ("Was ist Asthma?", True),
        ("Was hilft gegen Gicht?", True),
        ("Was aspirin effective in adults?", False),
        ("Was the dose lower?", False),
        ("Does aspirin help?", False),
    ],
)
def test_asks_for_fact_distinguishes_the_german_was_from_the_english_verb(question: str, expected: bool) -> None:
    assert asks_for_fact(question) == expected


def test_finding_factor_does_not_apply_to_a_german_question_for_a_fact() -> None:
    text = "The aim of this study was to determine whether Gicht is common. Gicht is common in men (p<0.001)."
    aim, finding = cite("Was ist Gicht?", [Passage(id="a", text=text)])
    assert aim.score == finding.score


def test_sentence_on_the_subject_ranks_above_a_finding_on_another_subject() -> None:
    about_gout = Passage(id="b", text="Pain was significantly lower in 62% of men with gout than in women (p<0.001).")
    citations = cite("Does ice reduce pain after knee surgery?", [about_gout, Passage(id="a", text=STUDY)])
    assert citations[0].passage_id == "a"


def test_sentences_of_a_guideline_are_ranked_by_words() -> None:
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


GUIDELINE = (
    "**Children over 12 years:** 500 micrograms IM. **Children 6 to 12 years:** 300 micrograms IM. Repeat after 5 "
    "minutes if there is no improvement. Do not give adrenaline into a vein."
)


def test_finding_factor_applies_only_to_studies() -> None:
    guide = Passage(id="a", text=GUIDELINE, metadata={"section": "Adrenaline"})
    citations = cite("What dose of adrenaline is given to a child of 8 years in anaphylaxis?", [guide])
    assert [one.quote[:10] for one in citations[:2]] == ["**Children"] * 2
    # The aims of a single study among guidelines rank lower too.
    others = [Passage(id="b", text="Give 300 mg."), Passage(id="c", text="Wait an hour.")]
    ranked = cite("Does ice reduce pain after knee surgery?", [*others, guide, Passage(id="d", text=STUDY)])
    assert ranked[0].quote == "Pain was significantly lower with ice (p=0.01)."
    assert ranked[-1].quote.startswith("The aim")


def test_title_of_the_document_counts_for_its_passages() -> None:
    text = "Check it hourly. Start insulin at 0.1 units/kg/h."
    ketoacidosis = Passage(id="a", text=text, metadata={"title": "Ketoacidosis"})
    infusion = Passage(id="b", text="Start insulin at 2 mL/h.", metadata={"title": "Variable rate infusion"})
    assert cite("How is insulin started in ketoacidosis?", [infusion, ketoacidosis])[0].passage_id == "a"


def test_underlined_heading_ranks_below_the_text() -> None:
    text = "Apixaban\n--------\n\nIt is given twice daily.\n\n---\n"
    passage = Passage(id="a", text=text, metadata={"section": "Apixaban"})
    assert [one.quote[:8] for one in cite("How often is apixaban taken?", [passage])] == ["It is gi", "Apixaban"]


GUIDE_WITH_HEADINGS = (
    "# Aspirin after stroke\n\n## Dose of aspirin\n\nGive 300 mg on the first day. Later 75 mg daily are enough.\n\n"
    "## Contraindications\n\n- Active peptic ulcer\n- Allergy to aspirin"
)


def test_heading_ranks_low_but_counts_for_the_text_below_it() -> None:
    citations = cite("What are contraindications?", [Passage(id="a", text=GUIDE_WITH_HEADINGS)])
    assert {one.quote for one in citations[:2]} == {"- Active peptic ulcer", "- Allergy to aspirin"}
    citations = cite("What dose of aspirin is right?", [Passage(id="a", text=GUIDE_WITH_HEADINGS)])
    assert {one.quote[-20:] for one in citations[:2]} == {"mg on the first day.", "mg daily are enough."}
    assert all(GUIDE_WITH_HEADINGS[one.start : one.end] == one.quote for one in citations)


def test_headings_without_markup_are_recognised_by_the_metadata() -> None:
    text = "Feet in diabetes\n\nHow often are feet seen?\n\nThey are seen once a year.\n\nUlcers\n\nRefer them."
    headings = {"title": "Feet in diabetes", "section": "How often are feet seen?; Ulcers"}
    citations = cite("How often are feet seen in diabetes?", [Passage(id="a", text=text, metadata=headings)])
    assert citations[0].quote == "They are seen once a year."
    assert citations[-1].score < 0.1  # a heading
    without_headings = Passage(id="b", text="Refer them.", metadata={"section": "Ulcers"})
    assert [one.quote for one in cite("What about ulcers?", [without_headings])] == ["Refer them."]


def test_question_in_a_text_ranks_last() -> None:
    text = "Does ice reduce pain after surgery? Ice was cold. Pain fell."
    assert cite("Does ice reduce pain after surgery?", [Passage(id="a", text=text)])[-1].quote.endswith("?")


def test_heading_above_a_sentence_counts_for_nearness() -> None:
    assert select("What are contraindications to aspirin?", [Passage(id="a", text=GUIDE_WITH_HEADINGS)]).nearest == 1
    assert select("What are contraindications to aspirin?", []).is_weak


def test_title_of_the_document_counts_for_nearness() -> None:
    observed = Passage(id="a", text="Observe for at least 6 hours.", metadata={"title": "Anaphylaxis"})
    untitled = observed.model_copy(update={"metadata": {}})
    question = "How long is a patient observed after anaphylaxis?"
    assert not select(question, [observed]).is_weak
    assert select(question, [untitled]).is_weak


def test_cross_encoder_score_changes_the_ranking() -> None:
    passage = Passage(id="a", text="Aspirin and stroke were studied. The risk was halved. Patients slept.")
    question = "Does aspirin reduce stroke?"
    read: list[tuple[str, int]] = []  # the question and the number of texts of each call

    def relevance(question: str, texts: Sequence[str]) -> list[float]:
        read.append((question, len(texts)))
        return [float("halved" in text) for text in texts]

    assert cite(question, [passage], WordEmbedder())[0].quote == "Aspirin and stroke were studied."
    citations = cite(question, [passage], WordEmbedder(), relevance=relevance)
    assert citations[0].quote == "The risk was halved."
    assert all(0 < one.score <= 1 for one in citations)
    assert read == [(question, 3)]


def test_cross_encoder_reads_only_the_best_sentences() -> None:
    passage = Passage(id="a", text="Aspirin reduces stroke. " + "".join(f"Patient {n} slept. " for n in range(60)))
    texts_read: list[str] = []

    def relevance(question: str, texts: Sequence[str]) -> list[float]:
        texts_read.extend(texts)
        return [1.0 for _ in texts]

    citations = cite("Does aspirin reduce stroke?", [passage], WordEmbedder(), relevance=relevance)
    assert len(texts_read) == RERANKED_SENTENCES
    assert citations[0].quote == texts_read[0] == "Aspirin reduces stroke."


def test_best_per_passage_returns_one_citation_for_each_passage() -> None:
    passages = [Passage(id="a", text="Aspirin. Any aspirin."), Passage(id="b", text="Aspirin too. Other text.")]
    best = best_per_passage(cite("aspirin", passages))
    assert [(citation.passage_id, citation.quote) for citation in best] == [("a", "Aspirin."), ("b", "Aspirin too.")]


def test_question_without_a_shared_word_gets_no_citation() -> None:
    assert cite("Does it?", [Passage(id="a", text=TEXT)]) == []
    assert cite("Warum?", [Passage(id="a", text=TEXT)]) == []
    assert cite("aspirin", []) == []


def test_cite_works_with_other_scripts() -> None:
    passage = Passage(id="a", text="Аспирин снижает риск инсульта. Пациенты были пожилыми.")
    assert cite("Снижает ли аспирин риск?", [passage])[0].quote == "Аспирин снижает риск инсульта."


def test_coverage_weighs_rare_words_more_and_ignores_other_words() -> None:
    texts = ["Aspirin was given to adults.", "Adults slept.", "Adults walked.", ""]
    rare, *common, empty = coverage("Does aspirin help adults?", texts)
    assert rare > 2 * max(common) > 0
    assert common[0] == common[1]
    assert empty == 0
    assert coverage("Does aspirin help adults?", ["Aspirin helps adults."]) == [1.0]
    assert coverage("Is it so?", ["Is it so."]) == [0.0]


class TopicEmbedder(Embeddings):
    """Embeds a text as the number of words of each topic."""

    TOPICS = (("kidney", "renal", "nephro"), ("drug", "pill", "tablet", "aspirin"), ("sleep", "insomnia"))

    def __init__(self) -> None:
        self.batches: list[int] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.batches.append(len(texts))
        return [[float(sum(text.lower().count(word) for word in words)) for words in self.TOPICS] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_embedder_finds_a_sentence_that_shares_no_word() -> None:
    passages = [
        Passage(id="a", text="Patients slept well. Renal function fell in 4 of 90 adults."),
        Passage(id="b", text="Sleep."),
    ]
    embedder = TopicEmbedder()
    citations = cite("What happens to the kidneys?", passages, embedder)
    assert citations[0].quote == "Renal function fell in 4 of 90 adults."
    assert embedder.batches == [1, 3]  # the question, then the sentences of all passages in one batch
    assert cite("What happens to the kidneys?", passages) == []


def test_shared_words_decide_between_equal_cosines() -> None:
    text = "The tablet has 5 mg. The tablet has a score line."
    citations = cite("Does the drug have a score line?", [Passage(id="a", text=text)], TopicEmbedder())
    assert citations[0].quote == "The tablet has a score line."


def test_zero_vectors_leave_the_ranking_to_words() -> None:
    citations = cite("Does walking help?", [Passage(id="a", text="Rest is common. Walking helped.")], TopicEmbedder())
    assert citations[0].quote == "Walking helped."


def test_sentence_in_several_passages_is_quoted_once_with_their_names() -> None:
    repeated = "Ice reduced pain in 80 patients."
    passages = [
        Passage(id="a", text=f"{repeated} It is cheap.", metadata={"source": "a.pdf"}),
        Passage(id="b", text=f"{repeated.upper()}\n\nHeat did not.", metadata={"source": "b.pdf", "page": 3}),
        Passage(id="c", text=repeated),
    ]
    citations = cite("Did ice reduce pain?", passages)
    assert [one.quote for one in citations if "ice" in one.quote.lower()] == [repeated]
    assert citations[0].also_in == ("b.pdf, page 3", "c")


def test_sentence_that_refers_back_is_quoted_with_its_previous_sentence() -> None:
    text = "Ice reduced pain in men. This was not true of women. Heat was not studied."
    (first, *rest) = cite("Was it true of women?", [Passage(id="a", text=text)])
    assert first.quote == text[: text.index(" Heat")] == text[first.start : first.end]
    assert all("women" not in one.quote for one in rest)
    citations = cite("Did ice reduce pain in men and women?", [Passage(id="a", text=text)])
    assert [one.quote for one in citations] == [first.quote]


def test_table_row_is_quoted_with_its_column_headings() -> None:
    text = "| Drug | Dose | Route |\n|---|---|---|\n| Calcium | 500 mg | oral |\n| Zinc | 20 mg | oral |"
    citations = cite("What is the dose of zinc?", [Passage(id="a", text=text)])
    assert citations[0].quote == "| Zinc | 20 mg | oral |"
    assert citations[0].readable == "Drug: Zinc; Dose: 20 mg; Route: oral"
    tab_separated = "Drug\tDose\nCalcium\t500 mg\nZinc\t20 mg"
    citations = cite("What is the dose of zinc?", [Passage(id="a", text=tab_separated)])
    assert citations[0].readable == "Drug: Zinc; Dose: 20 mg"
    empty_corner = "Adults\tChildren\nCalcium\t500 mg\t90 mg\nZinc\t20 mg\t5 mg"
    citations = cite("What is the dose of zinc?", [Passage(id="a", text=empty_corner)])
    assert citations[0].readable == "Zinc; Adults: 20 mg; Children: 5 mg"


def test_references_and_table_of_contents_are_not_quoted() -> None:
    text = (
        "Contents\n\nIce for pain .... 3\n\nPain did not change.\n\nReferences\n\n"
        "1. Alm A, Berg B. Ice reduces pain after knee surgery. J Cold. 2011;4:12-19."
    )
    quotes = [one.quote for one in cite("Does ice reduce pain after knee surgery?", [Passage(id="a", text=text)])]
    assert quotes[0] == "Pain did not change."
    assert not any("Berg" in quote or "...." in quote for quote in quotes)


def test_notices_name_the_document_or_passage() -> None:
    passages = [
        Passage(id="1", text="A.", metadata={"notice": "Retracted", "title": "RETRACTED: Ice"}),
        Passage(id="2", text="B.", metadata={"notice": "Expression of concern"}),
        Passage(id="3", text="C."),
    ]
    assert notices(passages) == ["RETRACTED: Ice", "Expression of concern: 2"]
