"""`package` of apps that are container images."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules.repository import ELF, Repository
from tests.unit.enclaver.core.oci.archives import archived, folder, member, parts, pax, sha256, tar

pytestmark = pytest.mark.slow
IMAGE = 'enclave_image(name="enclave")'
PROGRAM = ELF + bytes(100)
LAYERS = (
    tar(folder("bin"), member("bin/app", PROGRAM, mode=0o755), member("bin/gone"), folder("srv", uid=1000)),
    tar(member("bin/.wh.gone"), member("srv/data", b"data", uid=1000)),
)
SAYS: dict[str, Any] = {
    "Entrypoint": ["/bin/app", "-v"],
    "Cmd": ["serve"],
    "Env": ["A=b"],
    "User": "1000:1001",
    "WorkingDir": "/srv",
}
CAPABLE = tar(pax({"SCHILY.xattr.security.capability": b"\1"}), member("bin/app", PROGRAM, mode=0o755))


@pytest.fixture(scope="module")
def packaged(repository: Repository) -> Repository:
    """The same image in three forms, and one whose target says more; packaged at once."""
    one = parts(*LAYERS, how="+gzip", **SAYS)
    repository.write("oci/app.tar", archived(one.files()))
    repository.image("oci", f'file(name="app", source="app.tar")\n{IMAGE}')
    repository.write("saved/app.tar", archived(parts(*LAYERS, **SAYS).docker_save()))
    repository.image("saved", f'file(name="app", source="app.tar")\n{IMAGE}')
    for name, data in one.files().items():
        repository.write(f"layout/image/{name}", data)
    repository.image("layout", f'files(name="app", sources=["image/**/*"])\n{IMAGE}')
    repository.image("says", 'enclave_image(name="enclave", args=["-q"], env={"A": "c"})', app="//oci:app")
    repository.write("capable/app.tar", archived(parts(CAPABLE, Cmd=["/bin/app"]).files()))
    repository.image("capable", 'file(name="app", source="app.tar")\nenclave_image(name="enclave", drop_xattrs=True)')
    repository.image("strict", IMAGE, app="//capable:app")
    repository.succeeds("package", *(f"{name}:enclave" for name in ("oci", "saved", "layout", "says", "capable")))
    return repository


def test_an_image_runs_as_it_says_and_as_its_target_says(packaged: Repository) -> None:
    app = packaged.obeyed("oci")["app"]
    assert app["argv"] == ["/bin/app", "-v", "serve"]
    assert (app["cwd"], app["uid"], app["gid"], app["env"]["A"]) == ("/srv", 1000, 1001, "b")
    app = packaged.obeyed("says")["app"]
    assert (app["argv"], app["env"]["A"]) == (["/bin/app", "-v", "-q"], "c")


def test_the_image_is_all_there_is(packaged: Repository) -> None:
    entries = {
        entry["path"].removeprefix("rootfs/"): entry["origin"]
        for ramdisk in packaged.materials("oci")["ramdisks"]
        for entry in ramdisk["entries"]
        if entry["path"].startswith("rootfs/")
    }
    assert set(entries) == {"bin", "bin/app", "srv", "srv/data"}
    assert set(entries.values()) == {f"layer:{sha256(layer)}" for layer in LAYERS}
    [image] = [item for item in packaged.materials("oci")["inputs"] if item["kind"] == "image"]
    assert image["name"] == "oci:app"


def test_the_form_of_an_image_changes_no_pcr(packaged: Repository) -> None:
    assert packaged.pcrs("oci") == packaged.pcrs("saved") == packaged.pcrs("layout")


def test_attributes_are_refused_unless_they_may_be_dropped(packaged: Repository) -> None:
    assert packaged.obeyed("capable")["app"]["argv"] == ["/bin/app"]
    message = packaged.refused("strict:enclave")
    assert "capable:app: bin/app: has the extended attribute SCHILY.xattr.security.capability" in message
