from pipeline.counted import first_of, in_words


def test_names_are_put_in_words_as_in_a_sentence() -> None:
    assert [in_words(list(names)) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


def test_of_many_names_the_first_are_told_and_how_many_more_there_are() -> None:
    assert [first_of(list(names), 2) for names in ("", "a", "ab", "abc")] == ["", "a", "a, b", "a, b and 1 more"]
    assert first_of(["a", "b", "c", "d"], 3, between="; ") == "a; b; c and 1 more"
