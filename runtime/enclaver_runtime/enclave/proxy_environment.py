"""The environment variables that tell the app's programs of the egress proxy."""

from __future__ import annotations

from dataclasses import replace

from enclaver_runtime.config import App, Config

# What the proxy is for is outside; the app's own loopback needs none.
_NO_PROXY = "localhost,127.0.0.1,::1"


def with_proxy(config: Config) -> App:
    """The app with the variables that tell programs of the proxy, when there is one.

    Each is set in both cases, as programs look for one or the other; what the app's own environment sets, in
    either case, is left to it.
    """
    if config.egress is None:
        return config.app
    url = f"http://127.0.0.1:{config.egress.proxy_port}"
    wanted = {"http_proxy": url, "https_proxy": url, "no_proxy": _NO_PROXY}
    given = config.app.env
    added = {
        spelling: value
        for name, value in wanted.items()
        if name not in given and name.upper() not in given
        for spelling in (name, name.upper())
    }
    return replace(config.app, env={**added, **given})
