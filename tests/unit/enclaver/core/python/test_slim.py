"""What is kept of the wheels is enough to sign with."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import botocore
import pytest

from enclaver.core.python.slim import NOT_IN_RUNNER, ONLY, is_in_runtime

LOCK = Path(__file__).parents[5] / "pants-plugins" / "enclaver" / "locks" / "runtime.lock"

SIGN = """
import sys
sys.path.insert(0, sys.argv[1])
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
class Credentials:
    access_key, secret_key, token = "AKIDEXAMPLE", "secret", "token"
request = AWSRequest("POST", "https://kms.us-east-1.amazonaws.com/", {"X-Amz-Target": "TrentService.Decrypt"}, b"{}")
SigV4Auth(Credentials(), "kms", "us-east-1").add_auth(request)
print(request.headers["Authorization"].split(" ")[0])
"""


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("trio/_core/_run.py", True),
        ("trio/_tests/test_x.py", False),
        ("six.py", True),
        ("botocore/auth.py", True),
        ("botocore/vendored/requests/packages/urllib3/exceptions.py", True),
        ("botocore/client.py", False),
        ("botocore/data/kms/2014-11-01/service-2.json.gz", False),
        ("botocore/cacert.pem", False),
        ("botocore-1.44.5.dist-info/LICENSE.txt", True),
        ("jmespath/parser.py", False),
        ("dateutil/tz/tz.py", True),
        ("dateutil/zoneinfo/dateutil-zoneinfo.tar.gz", False),
        ("urllib3/util/retry.py", True),
        ("urllib3/_collections.py", True),
        ("urllib3/contrib/pyopenssl.py", False),
    ],
)
def test_what_is_kept(path: str, kept: bool) -> None:
    assert is_in_runtime(path) is kept


def test_what_is_kept_signs(tmp_path: Path) -> None:
    # It brings the others along.
    assert botocore.__name__ in ONLY
    for package in ("six", *ONLY):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        top = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
        for path in [top] if top.is_file() else top.rglob("*"):
            inside = path.relative_to(top.parent)
            if path.is_file() and is_in_runtime(inside.as_posix()):
                (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, tmp_path / inside)
    result = subprocess.run([sys.executable, "-ISBc", SIGN, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("AWS4-HMAC-SHA256\n", "")


def test_what_the_runner_does_without_is_what_the_lock_has_for_signing() -> None:
    """One that is gone would be left out for nothing; a new requirement of botocore's, kept for nothing."""
    named = {line.partition("==")[0].replace("-", "_") for line in LOCK.read_text().splitlines() if "==" in line}
    assert named >= NOT_IN_RUNNER
    assert {package.replace("dateutil", "python_dateutil") for package in ONLY} <= NOT_IN_RUNNER
