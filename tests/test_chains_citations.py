from chains.answer import Passage
from chains.citations import best_of_each, cite, coverage

TEXT = (
    "Stroke is common. Patients (n = 40, aged 60.5 yrs, Smith et al. 2009) took aspirin vs. placebo. "
    "Aspirin reduced strokes (p = .03)."
)


def test_quotes_are_verbatim_and_best_first() -> None:
    passage = Passage(id="a", text=TEXT)
    citations = cite("Does aspirin reduce stroke?", [passage])
    assert citations[0].quote == "Aspirin reduced strokes (p = .03)."
    assert citations[0].score == 1.0
    assert [citation.score for citation in citations] == sorted((c.score for c in citations), reverse=True)
    for citation in citations:
        assert TEXT[citation.start : citation.end] == citation.quote
        assert 0 < citation.score <= 1


def test_rare_words_weigh_more() -> None:
    passage = Passage(id="a", text="Patients were seen. Patients were old. Patients left. Warfarin was given.")
    assert cite("Did patients get warfarin?", [passage])[0].quote == "Warfarin was given."


def test_one_citation_a_passage() -> None:
    passages = [Passage(id="a", text="Aspirin. More aspirin."), Passage(id="b", text="Aspirin too. Other text.")]
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
