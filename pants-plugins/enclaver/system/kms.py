"""A signing key in AWS KMS, through boto3: its public key, and signatures by its private key, which never leaves KMS.

Credentials, endpoint (``AWS_ENDPOINT_URL_KMS``), proxies and certificates are found as in every program of AWS's. No
message holds any of them, nor what a service said about them: only of a denied access KMS's own words are shown, which
name who wanted what.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

from botocore import exceptions

from enclaver.core.errors import EnclaverError

#: Seconds for a connection, and for an answer.
CONNECT_TIMEOUT: Final = 5
READ_TIMEOUT: Final = 15
#: How often a request is sent, if its failure may pass.
ATTEMPTS: Final = 3

_TOLD: Final = 400
_USAGE: Final = "SIGN_VERIFY"
# The keys that sign images.
_SPECS: Final = ("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521")
_KIND: Final = "Make an asymmetric key with the usage SIGN_VERIFY and the key spec ECC_NIST_P384."
_CREDENTIALS: Final = "Check the credentials (`aws sts get-caller-identity`), and this machine's clock."
_ENDPOINT: Final = "Check the network, and AWS_ENDPOINT_URL_KMS if it is set."
# KMS's error codes, and what they mean here: what is wrong, and the cure.
_REFUSALS: Final = {
    "DisabledException": ("the key is disabled", "Enable it: `aws kms enable-key`."),
    "KMSInvalidStateException": (
        "the key is in no state to sign: it is disabled, about to be deleted, or without its key store",
        "Enable it, or cancel its deletion.",
    ),
    "NotFoundException": ("there is no such key", "Check the ARN's region, account and key."),
    "InvalidKeyUsageException": ("the key is not for signing", _KIND),
    "UnsupportedOperationException": ("the key is not for signing", _KIND),
    "KeyUnavailableException": ("the key is not available just now", "Try again."),
    "ThrottlingException": ("KMS gets too many requests", "Try again."),
    "DependencyTimeoutException": ("KMS did not answer in time", "Try again."),
    "KMSInternalException": ("KMS failed", "Try again."),
}
_BAD_CREDENTIALS: Final = frozenset(
    {
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


class KmsKey:
    """An asymmetric key of KMS that signs.

    Args:
        arn: of the key, or of an alias of it.
        region: the one that the ARN names.
    """

    def __init__(self, arn: str, region: str) -> None:
        self._arn = arn
        self._region = region

    def public_key(self) -> bytes:
        """Return its public key; DER, SubjectPublicKeyInfo.

        Raises:
            EnclaverError: KMS cannot be asked, or does not say, or the key is of a kind that no image is signed with.
        """
        with self._client() as client:
            answer = client.get_public_key(KeyId=self._arn)
        usage, spec, key = answer.get("KeyUsage"), answer.get("KeySpec"), answer.get("PublicKey")
        if usage != _USAGE:
            raise EnclaverError(f"the key's usage is {usage}, not {_USAGE}", file=self._arn, cure=_KIND)
        if spec not in _SPECS:
            raise EnclaverError(
                f"the key's spec is {spec}, and images are signed with {', '.join(_SPECS)} only",
                file=self._arn,
                cure=_KIND,
            )
        return _bytes(key, self._arn)

    def check_access(self, digest: bytes) -> None:
        """Find out whether these credentials may sign, without signing.

        Raises:
            EnclaverError: they may not, or KMS cannot be asked.
        """
        with self._client() as client:
            try:
                client.sign(**self._request(digest), DryRun=True)
            except exceptions.ClientError as error:
                # This is how KMS says that it would have.
                if _code(error) != "DryRunOperationException":
                    raise

    def sign(self, digest: bytes) -> bytes:
        """Sign a digest: of SHA-256, SHA-384 or SHA-512, as the key's curve wants it.

        Returns:
            The signature; DER, as X.509 writes it.

        Raises:
            EnclaverError: KMS cannot be asked, or refuses.
        """
        with self._client() as client:
            answer = client.sign(**self._request(digest))
        return _bytes(answer.get("Signature"), self._arn)

    def _request(self, digest: bytes) -> dict[str, object]:
        return {
            "KeyId": self._arn,
            "Message": digest,
            "MessageType": "DIGEST",
            "SigningAlgorithm": f"ECDSA_SHA_{8 * len(digest)}",
        }

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Yield a client for one request; what goes wrong with it is explained, and it is closed behind it."""
        # Loading it takes longer than most images take to assemble, and few builds want it.
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        with _explained(self._arn):
            # A session of its own: boto3's default one is shared by whoever runs in this process.
            session = boto3.session.Session()
            with closing(session.client("kms", region_name=self._region, config=config)) as client:
                yield client


@contextmanager
def _explained(arn: str) -> Iterator[None]:
    """Turn what boto3 raises into one error that says what to do. Nothing of it is chained: it may quote a request."""
    try:
        yield
    except exceptions.ClientError as error:
        what, cure = _refusal(error)
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.NoAuthTokenError):
        what = "there are no AWS credentials to ask KMS with"
        cure = "Set AWS_PROFILE, or the variables of a role; see docs/signing.md."
    except exceptions.ProfileNotFound:
        what, cure = "the profile that AWS_PROFILE names is not configured", "Name one of ~/.aws/config."
    except (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError):
        what, cure = "KMS did not answer in time", _ENDPOINT
    except exceptions.SSLError:
        what = "KMS's TLS certificate is not to be trusted"
        cure = "If a private authority signs for it, name its file in AWS_CA_BUNDLE."
    except (exceptions.ConnectionError, exceptions.HTTPClientError):
        what, cure = "KMS cannot be reached", _ENDPOINT
    except (exceptions.BotoCoreError, ValueError) as error:
        # Credentials that cannot be fetched, a configuration that cannot be read: the text may quote it.
        what = f"KMS cannot be asked ({type(error).__name__})"
        cure = "Check the configuration of AWS (`aws configure list`); see docs/signing.md."
    else:
        return
    raise EnclaverError(what, file=arn, cure=cure) from None


def _refusal(error: exceptions.ClientError) -> tuple[str, str]:
    """Return what is wrong and the cure, of an error that KMS answered with."""
    code = _code(error)
    if code in _REFUSALS:
        return _REFUSALS[code]
    if code == "AccessDeniedException":
        told = "".join(filter(str.isprintable, str(error.response["Error"].get("Message", ""))))[:_TOLD]
        return f"access denied: {told}", "Allow kms:GetPublicKey and kms:Sign of this key."
    if code in _BAD_CREDENTIALS:
        return f"KMS does not accept the AWS credentials ({code})", _CREDENTIALS
    return f"KMS refuses ({code})", "Check the key and who may use it; see docs/signing.md."


def _code(error: exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))[:100]


def _bytes(value: object, arn: str) -> bytes:
    if not isinstance(value, bytes) or not value:
        raise EnclaverError("KMS's answer lacks what was asked for", file=arn, cure=_ENDPOINT)
    return value
