"""Call the sites that are given as arguments, and show what came of it: an answer, or why there is none.

Nothing here knows of the enclave: the runtime sets https_proxy, which urllib, like most clients, obeys.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

SECONDS = 60


def visit(url: str) -> str:
    """Return one line about a site."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - the image names the sites.
            return f"{answer.status} {answer.reason}, {len(answer.read())} bytes"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.reason}"
    except OSError as error:
        return f"no answer: {error}"


def main() -> None:
    """Visit one after the other."""
    for url in sys.argv[1:]:
        print(f"{url}: {visit(url)}", flush=True)


if __name__ == "__main__":
    main()
