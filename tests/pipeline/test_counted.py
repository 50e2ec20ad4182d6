from pipeline.counted import in_words


def test_names_are_put_in_words_as_in_a_sentence() -> None:
    assert [in_words(list(names)) for names in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
