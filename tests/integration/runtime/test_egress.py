"""What the clients of real apps get in a booted guest: curl, requests, boto3 and a WebSocket client, against nginx.

All of them run once, in one boot; each test looks at what one of them said. The sites are in a private network.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.integration.runtime import websocket_origin
from tests.integration.runtime.booted import PATIENCE, Ended, app, command, started
from tests.integration.runtime.image_files import with_files
from tests.integration.runtime.private_network import PrivateNetwork, private_network
from tests.integration.tools import require

pytestmark = pytest.mark.slow

BLOCKED = "blocked by egress security policy: "
GREETING = "hello from a site\n"
SITE, MOVED, SILENT = "198.51.100.1", "198.51.100.66", "198.51.100.99"
NAMES = {
    **dict.fromkeys(["good.example.com", "xn--bcher-kva.example.com", "a.b.example.net", "s3.example.net"], SITE),
    **dict.fromkeys(["secret.example.net", "other.example.org", "s3.amazonaws.com"], SITE),
    **dict.fromkeys(["example.com", "example.org"], SITE),
    "six.example.com": "2001:db8::1",
    "inside.example.com": "127.0.0.1",
    "local.example.com": "127.0.0.2",
    "moved.example.net": MOVED,
    "silent.example.net": SILENT,
}
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {site}:80;
        listen {site}:443 ssl;
        listen [2001:db8::1]:80;
        listen 127.0.0.1:80;
        listen 127.0.0.1:8080;
        listen 127.0.0.2:80;
        listen {moved}:80;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        root {folder}/site;
        client_max_body_size 0;
        index hello;
        location /away {{ return 302 http://other.example.org/; }}
        location /files/ {{ dav_methods PUT; create_full_put_path on; }}
        location /chat {{
            proxy_pass http://{site}:8765/;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }}
    }}
}}
"""


@contextmanager
def sites(network: PrivateNetwork, folder: Path, authority: Authority) -> Iterator[None]:
    """Run nginx and a WebSocket server in a network."""
    (folder / "site/files").mkdir(parents=True)
    (folder / "site/hello").write_text(GREETING)
    (folder / "site/ca.pem").write_bytes(authority.pem)
    authority.identity(names=("good.example.com", "s3.example.net", "example.com")).write(folder)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, site=SITE, moved=MOVED))
    # Its workers are not root; the folder is pytest's own, for root alone.
    nginx = [str(require("nginx")), "-c", f"{folder}/nginx.conf", "-g", "user root;", "-e", f"{folder}/error.log"]
    origin = [sys.executable, str(websocket_origin.__file__), SITE, "8765"]
    with (
        subprocess.Popen(network.command(*nginx)) as server,
        subprocess.Popen(network.command(*origin), stdout=subprocess.PIPE) as echo,
    ):
        try:
            assert echo.stdout is not None
            assert echo.stdout.readline() == b"listening\n"
            yield
        finally:
            server.terminate()
            echo.terminate()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The run of the app that makes all checks."""
    folder = tmp_path_factory.mktemp("sites")
    runner_command = command(app("clients", "tests/integration/runtime/apps/clients"))
    with (
        private_network(folder, NAMES, silent=[SILENT]) as network,
        sites(network, folder, Authority()),
        started(network.command(*runner_command)) as runner,
    ):
        return runner.wait(2 * PATIENCE)


@pytest.fixture
def got(ended: Ended) -> Any:
    """What the app's checks got, by name."""
    assert ended.code == 0, ended.log + ended.said
    lines = (line.partition(": ") for line in ended.log.splitlines())
    return {name: json.loads(text) for name, colon, text in lines if colon and name != "enclaver"}


@pytest.mark.parametrize("name", ["page", "tunnel", "six", "international", "labels", "host", "local"])
def test_curl_reaches_what_is_allowed(got: Any, name: str) -> None:
    tunnel = 200 if name == "tunnel" else 0
    assert got[name] == {"exit": 0, "status": 200, "tunnel": tunnel, "body": GREETING, "error": ""}


def test_curl_asks_for_heads_and_uploads_and_upgrades(got: Any) -> None:
    assert re.search(r"(?i)^content-length: 18\r?$", got["head"]["body"], re.MULTILINE)
    assert got["upload"] == [201, 200, True]
    by_hand = got["websocket by hand"]
    assert by_hand["status"] == 101
    assert by_hand["body"].endswith("\r\n\r\n\x81\x03bye\x88\x00")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("denied page", "egress.deny has secret.example.net"),
        ("unlisted", "nothing in egress.allow covers other.example.org port 80"),
        # The site that redirects there is allowed.
        ("redirect", "nothing in egress.allow covers other.example.org port 80"),
        # These two are the parent's decisions, which alone knows the addresses.
        ("inside", "inside.example.com is 127.0.0.1, a loopback address that egress.allow does not cover itself"),
        ("denied address", f"moved.example.net is {MOVED}, and egress.deny has {MOVED}"),
    ],
)
def test_curl_gets_401_and_the_rule_for_what_is_not_allowed(got: Any, ended: Ended, name: str, reason: str) -> None:
    assert got[name] == {"exit": 0, "status": 401, "tunnel": 0, "body": f"{BLOCKED}{reason}\n", "error": ""}
    # For the operator too, who sees no console but that of a debug enclave.
    assert re.search(rf"^enclaver: egress: blocked .*{re.escape(reason)}", ended.log, re.MULTILINE)


def test_a_denied_tunnel_says_why_in_its_reason_phrase(got: Any, ended: Ended) -> None:
    refused = got["denied tunnel"]
    assert (refused["exit"], refused["status"], refused["tunnel"]) == (56, 0, 401)
    assert f"HTTP/1.1 401 {BLOCKED}egress.deny has secret.example.net" in refused["body"]
    assert "egress: blocked 'secret.example.net' port 443: egress.deny has secret.example.net" in ended.said


def test_failures_have_their_status_and_reason(got: Any) -> None:
    assert (got["nobody"]["status"], got["no response"]["status"], got["refused"]["tunnel"]) == (503, 502, 503)
    assert "nobody.example.com: " in got["nobody"]["body"]
    assert f"{SITE} port 81: Connection refused" in got["refused"]["body"]
    assert "the origin sent no valid response" in got["no response"]["body"]


def test_who_does_not_answer_in_time_is_told_from_who_refuses(got: Any) -> None:
    page, tunnel = got["silent"], got["silent tunnel"]
    reason = f"{SILENT} port 80: Connection timed out"
    assert (page["exit"], page["status"], page["body"]) == (0, 504, f"{reason}\n")
    assert (tunnel["exit"], tunnel["tunnel"]) == (56, 504)
    assert f"HTTP/1.1 504 {SILENT} port 443: Connection timed out" in tunnel["body"]


def test_odd_spellings_are_refused_or_the_address_that_they_are(got: Any) -> None:
    raw = got["raw"]
    for odd in ("0x7f.1", "2130706433", "0177.0.0.1"):
        status, reason = raw[f"{odd}:80"]
        assert (status, reason) == (401, f"{BLOCKED}'{odd}' is no IPv4 address of four plain decimal numbers")
    assert raw["[::ffff:127.0.0.1]:80"] == [401, f"{BLOCKED}nothing in egress.allow covers 127.0.0.1 port 80"]
    assert raw["[::ffff:127.0.0.2]:80"][0] == 200
    assert raw["good.example.com"][0] == 400
    assert raw["a@b:1"] == [400, "a request's target has no user name"]


def test_requests(got: Any) -> None:
    session = got["requests"]
    assert session["pages"] == [GREETING] * 4
    assert (session["put"], session["same"]) == (201, True)
    assert session["denied"] == [401, f"{BLOCKED}egress.deny has secret.example.net\n"]
    assert f"401 {BLOCKED}egress.deny has secret.example.net" in session["error"]


def test_boto3(got: Any, ended: Ended) -> None:
    assert got["boto3"]["same"] is True
    assert "Failed to connect to proxy URL" in got["boto3"]["error"]
    assert re.search(r"blocked 's3\S*\.amazonaws\.com' port 443: nothing in egress\.allow covers", ended.said)


def test_websockets(got: Any) -> None:
    assert got["websockets"]["answers"] == [True] * 4
    assert "401" in got["websockets"]["error"]


def test_the_example_reaches_one_site_and_says_why_not_the_other(tmp_path: Path) -> None:
    authority = Authority()
    # The bundle that the image's own Python trusts.
    bundle = {"etc/ssl/certs/ca-certificates.crt": authority.pem}
    image = with_files(app("enclave", "examples/egress"), bundle, tmp_path)
    with (
        private_network(tmp_path, NAMES) as network,
        sites(network, tmp_path, authority),
        started(network.command(*command(image))) as runner,
    ):
        ended = runner.wait()
    assert ended.code == 0, ended.said
    reached, blocked, refused = ended.log.splitlines()
    assert reached == f"https://example.com/: 200 OK, {len(GREETING)} bytes"
    rule = "nothing in egress.allow covers example.org port 443"
    assert blocked == f"enclaver: egress: blocked 'example.org' port 443: {rule}"
    assert f"401 {BLOCKED}{rule}" in refused
