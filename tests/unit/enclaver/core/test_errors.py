from __future__ import annotations

from pathlib import Path

import pytest

from enclaver.core.errors import EnclaverError, in_file


def test_the_message_names_file_place_and_cure() -> None:
    error = EnclaverError("is odd", file="x.eif", place="section 2", cure="Make it even.")
    assert str(error) == "x.eif: section 2: is odd\n  Make it even."
    assert str(EnclaverError("is odd")) == "is odd"


def test_a_file_is_named_once() -> None:
    with pytest.raises(EnclaverError) as caught, in_file(Path("outer")):
        raise EnclaverError("is odd", place="member")
    assert str(caught.value) == "outer: member: is odd"
    with pytest.raises(EnclaverError) as caught, in_file(Path("outer")):
        raise EnclaverError("is odd", file="inner")
    assert str(caught.value) == "inner: is odd"
