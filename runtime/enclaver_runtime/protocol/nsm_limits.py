"""The NSM's own limits on what an attestation document carries, in bytes (AWS's attestation process document).

Beside protocol.nsm, since they are also needed where no CBOR is: its decoder takes time to load.
"""

MAX_USER_DATA = 512
MAX_NONCE = 512
MAX_PUBLIC_KEY = 1024
