"""A web app for an enclave: it says hello, and what it can see from inside."""

from __future__ import annotations

import os
import platform

from bottle import Bottle, run

PORT = 8000


def hello() -> dict[str, object]:
    """Answer with a greeting and a look around."""
    return {
        "message": "hello from the enclave",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "uid": os.getuid(),
    }


def main() -> None:
    """Serve until the enclave ends; the runtime carries what arrives at the parent's port to this one."""
    print(f"hello from the enclave: listening on port {PORT}", flush=True)
    app = Bottle()
    app.get("/", callback=hello)
    run(app, host="127.0.0.1", port=PORT, quiet=True)


if __name__ == "__main__":
    main()
