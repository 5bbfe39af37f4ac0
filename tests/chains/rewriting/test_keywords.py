from langchain_core.runnables import RunnableLambda

from chains.rewriting.keywords import by_keywords, by_model

QUESTION = "Does rotesartan lower itch score in men with gout?"


def test_by_keywords_omits_the_population_at_the_second_try() -> None:
    first = by_keywords(QUESTION, [QUESTION])
    assert first == "rotesartan lower itch score men gout"
    second = by_keywords(QUESTION, [QUESTION, first])
    assert second == "rotesartan lower itch score"
    assert by_keywords(QUESTION, [QUESTION, first, second]) is None
    assert by_keywords("Is it so?", ["Is it so?"]) is None


def test_by_model_uses_the_first_new_wording_or_else_keywords() -> None:
    requests: list[object] = []

    def rewrite(request: object) -> list[str]:
        requests.append(request)
        return ["one", "two"]

    reword = by_model(RunnableLambda(rewrite))
    assert reword(QUESTION, [QUESTION]) == "one"
    assert reword(QUESTION, [QUESTION, "one"]) == "two"
    assert reword(QUESTION, [QUESTION, "one", "two"]) == "rotesartan lower itch score men gout"
    assert requests[0] == {"question": QUESTION, "count": 2}
    assert requests[1] == {"question": QUESTION, "count": 3}
