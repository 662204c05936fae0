"""Reach sites with the clients that real apps have, unchanged, and say what each of them got.

The certificate authority of the sites is made by the test that boots this, so it is fetched first, without TLS.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import traceback
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

GOOD = "good.example.com"
CA = "/tmp/ca.pem"
BLOB = bytes(range(256)) * 4096


def curl(*arguments: str) -> dict[str, object]:
    """Return how curl ended, what it printed, and the statuses: of the page, and of CONNECT."""
    command = ["curl", "--silent", "--show-error", "--max-time", "120", "--cacert", CA, *arguments]
    done = subprocess.run([*command, "--write-out", "\n%{http_code} %{http_connect}"], capture_output=True, check=False)
    body, _, codes = done.stdout.decode("latin-1").rpartition("\n")
    page, tunnel = map(int, codes.split())
    return {"exit": done.returncode, "status": page, "tunnel": tunnel, "body": body, "error": done.stderr.decode()}


def authority() -> object:
    """Fetch the certificate authority that the other checks trust."""
    return curl("--output", CA, f"http://{GOOD}/ca.pem")["status"]


def upload() -> object:
    """Upload a megabyte with curl, which asks to be told to go on (Expect: 100-continue), and fetch it."""
    with open("/tmp/blob", "wb") as file:
        file.write(BLOB)
    sent = curl("--upload-file", "/tmp/blob", "--header", "Expect: 100-continue", f"http://{GOOD}/files/curl")
    got = curl("--output", "/tmp/again", f"https://{GOOD}/files/curl")
    with open("/tmp/again", "rb") as file:
        return [sent["status"], got["status"], file.read() == BLOB]


def websocket_by_hand() -> object:
    """Ask for an upgrade without a tunnel; the site says a word and closes."""
    fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
    headers = [part for field in fields for part in ("--header", field)]
    return curl("--http1.1", "--include", *headers, f"http://{GOOD}:8765/bye")


def connect_raw(*targets: str) -> object:
    """Ask the proxy itself for tunnels, in spellings that no client of good will uses."""
    answers = {}
    for target in targets:
        proxy = urlsplit(os.environ["http_proxy"])
        connection = http.client.HTTPConnection(proxy.hostname or "", proxy.port, timeout=60)
        connection.request("CONNECT", target)
        answer = connection.getresponse()
        answers[target] = [answer.status, answer.reason]
        connection.close()
    return answers


def requests_session() -> object:
    """Make several requests in one session: with and without TLS, a body of unknown length, a site that is denied."""
    import requests

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(BLOB), 65536):
            yield BLOB[start : start + 65536]

    with requests.Session() as session:
        session.verify = CA
        pages = [session.get(f"{scheme}://{GOOD}/hello").text for scheme in ("http", "https", "http", "https")]
        put = session.put(f"http://{GOOD}/files/requests", data=pieces())
        got = session.get(f"https://{GOOD}/files/requests")
        denied = session.get("http://secret.example.net/")
        try:
            session.get("https://secret.example.net/")
            error = ""
        except requests.exceptions.ProxyError as problem:
            error = str(problem)
    same = hashlib.sha256(got.content).digest() == hashlib.sha256(BLOB).digest()
    refused = [denied.status_code, denied.text]
    return {"pages": pages, "put": put.status_code, "same": same, "denied": refused, "error": error}


def boto3_s3() -> object:
    """Put an object without TLS, get it with, and ask a region that is not allowed."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ProxyConnectionError

    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=120)
    keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret", "region_name": "us-east-1"}

    def s3(url: str | None) -> object:
        return boto3.client("s3", endpoint_url=url, verify=CA, config=config, **keys)

    s3("http://s3.example.net").put_object(Bucket="files", Key="boto3", Body=BLOB)  # type: ignore[attr-defined]
    got = s3("https://s3.example.net").get_object(Bucket="files", Key="boto3")  # type: ignore[attr-defined]
    body = got["Body"].read()
    try:
        s3(None).list_buckets()  # type: ignore[attr-defined]
        error = ""
    except ProxyConnectionError as problem:
        error = str(problem)
    return {"same": body == BLOB, "error": error}


def websockets() -> object:
    """Say something to an echo, with and without TLS, and to a site that is denied."""
    import websocket

    answers = []
    for url in (f"ws://{GOOD}:8765/", f"wss://{GOOD}/chat"):
        connection = websocket.create_connection(url, timeout=60, sslopt={"ca_certs": CA})
        for text in ("one", "two" * 1000):
            connection.send(text)
            answers.append(connection.recv() == text)
        connection.close()
    try:
        websocket.create_connection("wss://secret.example.net/", timeout=60)
        error = ""
    except websocket.WebSocketException as problem:
        error = str(problem)
    return {"answers": answers, "error": error}


CHECKS: dict[str, Callable[[], object]] = {
    "authority": authority,
    "page": lambda: curl("http://GOOD.example.com.:80/hello"),
    "tunnel": lambda: curl(f"https://{GOOD}/hello"),
    "six": lambda: curl("http://six.example.com/hello"),
    "international": lambda: curl("http://xn--bcher-kva.example.com/hello"),
    "labels": lambda: curl("http://a.b.example.net/hello"),
    "host": lambda: curl("http://host:8080/hello"),
    "local": lambda: curl("http://local.example.com/hello"),
    "head": lambda: curl("--head", f"http://{GOOD}/hello"),
    "upload": upload,
    "websocket by hand": websocket_by_hand,
    "redirect": lambda: curl("--location", f"http://{GOOD}/away"),
    "denied page": lambda: curl("http://secret.example.net/"),
    "denied tunnel": lambda: curl("--include", "https://secret.example.net/"),
    "unlisted": lambda: curl("http://other.example.org/"),
    "inside": lambda: curl("http://inside.example.com/hello"),
    "denied address": lambda: curl("http://moved.example.net/hello"),
    "nobody": lambda: curl("http://nobody.example.com/"),
    "silent": lambda: curl("http://silent.example.net/"),
    "silent tunnel": lambda: curl("--include", "https://silent.example.net/"),
    "refused": lambda: curl("--include", f"https://{GOOD}:81/"),
    "no response": lambda: curl(f"http://{GOOD}:8766/"),
    "raw": lambda: connect_raw(
        "0x7f.1:80", "2130706433:80", "0177.0.0.1:80", "[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.2]:80", GOOD, "a@b:1"
    ),
    "requests": requests_session,
    "boto3": boto3_s3,
    "websockets": websockets,
}


def main() -> None:
    """Make every check, and say what it got; what fails is no reason not to make the next."""
    for name, check in CHECKS.items():
        try:
            got = check()
        except Exception:  # noqa: BLE001 - whatever it is, it is what the client got.
            got = {"failed": traceback.format_exc()}
        print(f"{name}: {json.dumps(got)}", flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    main()
