from __future__ import annotations

import pytest

from enclaver.core.manifest.parse import parse
from enclaver.core.manifest.problems import ManifestError
from enclaver.core.manifest.requirements import check_buildable, unsupported

HEAD = "version: v1\nname: n\nsources:\n  app: ':a'\n"
UNBUILT = """\
version: v1
name: n
signature: {certificate: c.pem, key: k.pem}
sources:
  app: app:latest
"""


def keys(text: str, *, app_overridden: bool = False) -> list[str]:
    manifest = parse(text.encode(), "f")
    return [problem.key for problem in unsupported(manifest, app_overridden=app_overridden)]


def test_what_is_built_is_not_refused() -> None:
    text = (
        HEAD
        + "egress: {allow: [a], deny: [b], proxy_port: 7}\ndefaults: {cpu_count: 1}\n"
        + "ingress: [{listen_port: 1}, {listen_port: 2, tls: {key_file: k, cert_file: c}}]\n"
        + "kms_proxy: {listen_port: 3, endpoints: {us-east-1: kms.example}}\napi: {listen_port: 4}\n"
    )
    assert keys(text) == []
    check_buildable(parse(text.encode(), "f"))


def test_what_is_not_built_yet_is_refused_by_name_in_the_files_order() -> None:
    assert keys(UNBUILT) == ["signature", "sources.app"]


def test_an_image_is_no_matter_when_the_app_is_given_otherwise() -> None:
    assert "sources.app" not in keys(UNBUILT, app_overridden=True)


def test_the_check_raises_all_at_their_places() -> None:
    with pytest.raises(ManifestError) as caught:
        check_buildable(parse(UNBUILT.encode(), "dir/enclaver.yaml"))
    text = str(caught.value)
    assert "dir/enclaver.yaml:3:1: `signature` (a signed image)" in text
    assert len(caught.value.problems) == 2
