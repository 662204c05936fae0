from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rules.repository import ELF, Repository

SCRIPT = "#!/usr/bin/python3.11\n"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    made = Repository(tmp_path_factory.mktemp("user"))
    made.write("server/main.py", "print('hello')\n")
    made.write(
        "server/BUILD",
        'python_sources(name="lib")\n'
        'pex_binary(name="server", entry_point="main.py")\n'
        'pex_binary(name="loose", entry_point="main.py", layout="loose")\n'
        'docker_image(name="image", instructions=["FROM scratch"])\n',
    )
    made.write(
        "files/BUILD",
        'file(name="script", source="run.py")\n'
        'file(name="binary", source="bin/server")\n'
        'files(name="two", sources=["run.py", "other.py"])\n'
        'resources(name="resources", sources=["run.py", "data.txt"])\n'
        'relocated_files(name="moved", files_targets=[":script"], src="files", dest="elsewhere")\n'
        'archive(name="all", format="tar.gz", files=[":script"])\n'
        'target(name="nothing")\n',
    )
    made.write("files/run.py", SCRIPT, mode=0o755)
    made.write("files/other.py", SCRIPT, mode=0o755)
    made.write("files/data.txt", "data\n")
    made.write("files/bin/server", ELF + bytes(100), mode=0o755)
    try:
        yield made
    finally:
        made.close()
