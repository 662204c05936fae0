"""Ask the sites named as arguments, through the proxy that the runtime names, and say what came back."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request


def ask(url: str) -> tuple[int, str]:
    """Return the answer's status and the beginning of its body."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read(200).decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read(200).decode()


print("answers: " + json.dumps([ask(url) for url in sys.argv[1:]]), flush=True)
