"""What the enclave does without of the wheels that it has: the boot ramdisk stays in memory, and all of it is measured.

botocore is a library for every service of AWS, of which the runtime wants one signature. Loading its signer loads
some modules of its own and of what it requires, and no data; these are kept. A test loads it from what is kept.
"""

from __future__ import annotations

import fnmatch
from typing import Final

# The wheels' own tests: nothing in the enclave imports them.
_TESTS: Final = frozenset({"tests", "_tests"})

# Of these packages only the files of these patterns are kept, as fnmatch has them (* also matches a slash); of other
# packages all are. Licences and metadata are in folders of their own, and stay.
ONLY: Final[dict[str, tuple[str, ...]]] = {
    "botocore": (
        *("__init__.py", "auth.py", "awsrequest.py", "compat.py", "context.py", "exceptions.py", "httpsession.py"),
        *("plugin.py", "service_module_names.py", "useragent.py", "utils.py", "vendored/*.py"),
    ),
    # The query language of waiters and paginators.
    "jmespath": (),
    # Without recurrence rules, and without time zones' data: a signature's time is UTC.
    "dateutil": ("__init__.py", "_common.py", "_version.py", "relativedelta.py", "parser/*.py", "tz/*.py"),
    # Without what stands in for Python's own TLS, for sockets in a browser, for SOCKS, and for HTTP/2.
    "urllib3": (
        *("__init__.py", "_*.py", "connection.py", "connectionpool.py", "exceptions.py", "fields.py", "filepost.py"),
        *("poolmanager.py", "response.py", "contrib/__init__.py", "http2/__init__.py", "http2/probe.py", "util/*.py"),
    ),
}

#: What signs requests to AWS, as wheels' files name it: the enclave does that, and what runs an enclave does not.
NOT_IN_RUNNER: Final = frozenset({"botocore", "jmespath", "python_dateutil", "six", "urllib3"})


def is_in_runtime(path: str) -> bool:
    """Whether the runtime keeps a wheel's file, by its path in the wheel."""
    package, _, inside = path.partition("/")
    if _TESTS.intersection(path.split("/")):
        return False
    return package not in ONLY or any(fnmatch.fnmatchcase(inside, pattern) for pattern in ONLY[package])
