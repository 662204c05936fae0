from __future__ import annotations

import pytest

from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.problems import ManifestError
from enclaver.core.manifest.requirements import check_unsigned

HEAD = "version: v1\nname: n\nsources:\n  app: ':a'\n"


def test_a_signature_is_never_left_out_silently() -> None:
    check_unsigned(parse(HEAD.encode(), "f"))
    signed = parse((HEAD + "signature: {certificate: c.pem, key: k.pem}\n").encode(), "f")
    with pytest.raises(ManifestError, match="f:5:1: `signature`: the image is to be signed"):
        check_unsigned(signed)
