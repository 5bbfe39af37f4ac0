from langchain_core.runnables import RunnableLambda

from chains.rewriting.keywords import make_model_rewording, reword_by_keywords

QUESTION = "Does rotesartan lower itch score in men with gout?"


def test_reword_by_keywords_omits_the_population_at_the_second_try() -> None:
    first = reword_by_keywords(QUESTION, [QUESTION])
    assert first == "rotesartan lower itch score men gout"
    second = reword_by_keywords(QUESTION, [QUESTION, first])
    assert second == "rotesartan lower itch score"
    assert reword_by_keywords(QUESTION, [QUESTION, first, second]) is None
    assert reword_by_keywords("Is it so?", ["Is it so?"]) is None


def test_model_rewording_is_the_first_new_wording_or_else_keywords() -> None:
    requests: list[object] = []

    def rewrite(request: object) -> list[str]:
        requests.append(request)
        return ["one", "two"]

    reword = make_model_rewording(RunnableLambda(rewrite))
    assert reword(QUESTION, [QUESTION]) == "one"
    assert reword(QUESTION, [QUESTION, "one"]) == "two"
    assert reword(QUESTION, [QUESTION, "one", "two"]) == "rotesartan lower itch score men gout"
    assert requests[0] == {"question": QUESTION, "count": 2}  # one more than were tried
    assert requests[1] == {"question": QUESTION, "count": 3}
