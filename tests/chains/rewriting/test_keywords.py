from langchain_core.runnables import RunnableLambda

from chains.rewriting.keywords import by_keywords, by_model

QUESTION = "Does rotesartan lower itch score in men with gout?"


def test_keywords_and_then_treatment_and_measure() -> None:
    first = by_keywords(QUESTION, [QUESTION])
    assert first == "rotesartan itch score men gout"
    second = by_keywords(QUESTION, [QUESTION, first])
    assert second == "rotesartan itch score"
    assert by_keywords(QUESTION, [QUESTION, first, second]) is None
    assert by_keywords("Is it so?", ["Is it so?"]) is None


def test_a_model_s_first_new_wording_and_else_keywords() -> None:
    asked: list[object] = []

    def rewrite(rewriting: object) -> list[str]:
        asked.append(rewriting)
        return ["one", "two"]

    reword = by_model(RunnableLambda(rewrite))
    assert reword(QUESTION, [QUESTION]) == "one"
    assert reword(QUESTION, [QUESTION, "one"]) == "two"
    assert reword(QUESTION, [QUESTION, "one", "two"]) == "rotesartan itch score men gout"
    assert asked[0] == {"question": QUESTION, "count": 2}
    assert asked[1] == {"question": QUESTION, "count": 3}
