from __future__ import annotations

from enclaver_runtime.protocol import attestation_request, nsm
from enclaver_runtime.protocol.nsm_limits import MAX_NONCE, MAX_PUBLIC_KEY, MAX_USER_DATA


def test_all_at_once_fit_into_one_request_to_the_driver() -> None:
    request = nsm.attestation(user_data=bytes(MAX_USER_DATA), nonce=bytes(MAX_NONCE), public_key=bytes(MAX_PUBLIC_KEY))
    assert len(request) <= nsm.MAX_REQUEST


def test_all_at_once_fit_into_a_body_of_the_api() -> None:
    # Base64, of which a JSON writer may escape every character as six.
    assert 6 * 4 / 3 * (MAX_USER_DATA + MAX_NONCE + MAX_PUBLIC_KEY) <= attestation_request.MAX_BODY
