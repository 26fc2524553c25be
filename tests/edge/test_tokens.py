"""Continuation tokens: whatever place there is comes back, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from shared.edge.tokens import decode, encode


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_place_comes_back_from_its_token_which_any_url_carries(place: str):
    assert decode(encode(place)) == place
    assert set(encode(place)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.text())
def test_any_text_is_a_token_or_none(text: str):
    try:
        place = decode(text)
    except PydanticCustomError as error:
        assert error.type == "token"
    else:
        assert encode(place) == text


@pytest.mark.parametrize("token", ["YQ==", "YQ=", "Y", "YR", " YQ", "YQ\n", "Y Q", "+/", "gA", "ä", "\ud800"])
def test_only_the_one_way_in_which_we_write_a_place_is_a_token(token: str):
    with pytest.raises(PydanticCustomError, match="not a token of ours"):
        decode(token)
