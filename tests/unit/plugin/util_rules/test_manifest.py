from __future__ import annotations

from pants.engine.addresses import Address
from pants.engine.fs import EMPTY_DIGEST

from enclaver.util_rules.manifest import ManifestFile, manifest_app
from enclaver.util_rules.references import Reference
from enclaver.util_rules.report import ManifestReport

OWNER = Address("examples/hello", target_name="enclave")
FILE = ManifestFile(EMPTY_DIGEST, "examples/hello/enclaver.yaml")


def test_an_app_is_relative_to_the_image_and_its_errors_name_the_manifest() -> None:
    report = ManifestReport(name="hello", app_address=":server", files=(), notes=(), unsupported=())
    assert manifest_app(report, FILE, OWNER) == Reference(
        ":server", "`sources.app` of examples/hello/enclaver.yaml", OWNER
    )


def test_an_image_of_dockers_is_no_target() -> None:
    assert manifest_app(ManifestReport("hello", None, (), (), ("refused",)), FILE, OWNER) is None
