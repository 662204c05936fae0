"""The CRC of a file whose beginning has changed, without reading the rest of it again.

Source: zlib's CRC-32 is that of IEEE 802.3, reflected. For two beginnings of one length and the same rest behind both,
all constants fall out: the two CRCs differ by what the beginnings' CRCs differ by, moved on by the rest's length. To
move on by a byte is to multiply by x^8 in GF(2)[x] modulo the polynomial, so by n bytes it is x^(8n), which takes
log2(n) squarings.
"""

from __future__ import annotations

from typing import Final

_POLYNOMIAL: Final = 0xEDB88320
# Reflected: the highest bit is the coefficient of x^0.
_ONE: Final = 1 << 31
_BYTE: Final = _ONE >> 8


def rebased(crc: int, before: int, after: int, size: int) -> int:
    """Return the CRC-32 of a stretch of bytes behind another beginning.

    Args:
        crc: of the old beginning and what follows it.
        before: of the old beginning alone.
        after: of the new one, which is of the same length.
        size: of what follows, in bytes.
    """
    return crc ^ _product(before ^ after, _power(size))


def _power(count: int) -> int:
    """Return x^(8 * count)."""
    result, square = _ONE, _BYTE
    while count:
        if count & 1:
            result = _product(result, square)
        square = _product(square, square)
        count >>= 1
    return result


def _product(one: int, other: int) -> int:
    result = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            result ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return result
