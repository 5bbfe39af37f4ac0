from eval.grouping import grouped


def test_groups_and_items_keep_the_order_of_their_first_appearance() -> None:
    assert grouped(["bb", "a", "cc", "d"], len) == [["bb", "cc"], ["a", "d"]]
    assert grouped([], len) == []
