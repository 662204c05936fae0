"""Images that `docker build` has made: of a static program, of a musl one on nothing, and of Python on Debian."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from enclaver.build import debian
from enclaver.core.oci.layer_writer import write_layer
from enclaver.core.trust.materials import load_tree
from tests.integration.container_tools import DockerDaemon
from tests.integration.tools import ROOT, require

HERE = Path(__file__).parent
DEBIAN = ROOT / "3rdparty" / "debian" / "python-app.amd64.lock.json"
SERVER = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"debian {os.getuid()}:{os.getgid()} {os.getcwd()} {os.environ['WORD']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

http.server.HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Built:
    """An image: its reference, its id, and what its server on port 8000 answers."""

    name: str
    image_id: str
    answer: str


def static(daemon: DockerDaemon, folder: Path) -> Built:
    """One static program, and several layers."""
    shutil.copy(require("busybox"), folder / "busybox")
    (folder / "index.html").write_text("static")
    (folder / "Dockerfile").write_text(
        'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "ln", "/bin/busybox", "/bin/httpd"]\n'
        'RUN ["/bin/busybox", "mkdir", "-p", "/www/gone"]\nCOPY index.html /www/\n'
        'RUN ["/bin/busybox", "rmdir", "/www/gone"]\n'
        'EXPOSE 8000\nENTRYPOINT ["httpd", "-f", "-h", "/www"]\nCMD ["-p", "127.0.0.1:8000"]\nENV PATH=/bin\n'
    )
    return Built("static:1", daemon.build("static:1", folder), "static")


def musl(daemon: DockerDaemon, folder: Path) -> Built:
    """A program that is linked against musl, with its loader and nothing else."""
    subprocess.run([require("musl-gcc"), "-O1", "-o", folder / "server", HERE / "musl_server.c"], check=True)
    shutil.copy("/lib/ld-musl-x86_64.so.1", folder / "ld-musl-x86_64.so.1")
    (folder / "Dockerfile").write_text(
        "FROM scratch\nCOPY ld-musl-x86_64.so.1 /lib/\nCOPY --chown=7:8 server /usr/bin/\n"
        'USER 7:8\nWORKDIR /home/seven\nENV WORD=word\nENTRYPOINT ["/usr/bin/server"]\nCMD ["musl"]\n'
    )
    return Built("musl:1", daemon.build("musl:1", folder), "musl 7:8 /home/seven word")


def python_on_debian(daemon: DockerDaemon, folder: Path) -> Built:
    """A Python server on a base that was imported: our own Debian tree, since no registry of images is reachable."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        debian.fetch(lock=DEBIAN, output=work / "debs", cache=work / "cache")
        debian.tree(lock=DEBIAN, debs=work / "debs", cpio=work / "tree.cpio", entries=work / "tree.json")
        tree, _ = load_tree(work / "tree.cpio", work / "tree.json")
        with (work / "base.tar").open("wb") as out:
            write_layer(tree, out)
        daemon.docker("import", work / "base.tar", "debian-base:1")
    (folder / "server.py").write_text(SERVER)
    (folder / "Dockerfile").write_text(
        "FROM debian-base:1\nENV WORD=word PYTHONUNBUFFERED=1\nWORKDIR /srv\nCOPY server.py .\nUSER 1000:1000\n"
        'CMD ["python3", "server.py"]\n'
    )
    return Built("debian:1", daemon.build("debian:1", folder), "debian 1000:1000 /srv word")
