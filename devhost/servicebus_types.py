"""Decoders for three AMQP types that the SDK lacks: char, decimal32 and decimal64.

The SDK (azure-servicebus 7.15) fails to receive a message that contains one, anywhere: it closes the receiver, the
message stays locked, and the next receiver fails too. The real host, in .NET, supports all types. The decoder is a
private table of the SDK; if a later version changes it, nothing is added and nothing breaks.
"""

from decimal import Decimal
from importlib import import_module
from typing import Any


def complete_decoder() -> bool:
    """Add the missing types, and return whether every type can be decoded now."""
    try:
        table: Any = import_module("azure.servicebus._pyamqp._decode")._DECODE_BY_CONSTRUCTOR  # noqa: SLF001 - see above
        for code, decode in ((0x73, _char), (0x74, _decimal32), (0x84, _decimal64)):
            if table[code] is None:
                table[code] = decode
    except (ImportError, AttributeError, LookupError, TypeError):
        return False
    return True


def _char(buffer: memoryview, _depth: int = 0) -> tuple[memoryview, str]:
    try:
        return buffer[4:], chr(int.from_bytes(buffer[:4], "big"))
    except (ValueError, OverflowError):
        return buffer[4:], "\ufffd"


def _decimal32(buffer: memoryview, _depth: int = 0) -> tuple[memoryview, Decimal]:
    return buffer[4:], decimal_of(bytes(buffer[:4]), exponent_bits=8, bias=101)


def _decimal64(buffer: memoryview, _depth: int = 0) -> tuple[memoryview, Decimal]:
    return buffer[8:], decimal_of(bytes(buffer[:8]), exponent_bits=10, bias=398)


def decimal_of(data: bytes, *, exponent_bits: int, bias: int) -> Decimal:
    """Return an IEEE 754-2008 decimal from its binary integer encoding (section 3.5.2 of the standard).

    Args:
        data: The number, big-endian.
        exponent_bits: Width of the exponent in bits.
        bias: Bias of the exponent.
    """
    bits = len(data) * 8
    number = int.from_bytes(data, "big")
    sign, rest = number >> (bits - 1), number & ((1 << (bits - 1)) - 1)
    kind = rest >> (bits - 6)
    if kind >= 0b11110:
        return Decimal("NaN") if kind == 0b11111 else Decimal("-Infinity" if sign else "Infinity")
    width = bits - 1 - exponent_bits
    implied = 0
    if (
        kind >> 3 == 0b11
    ):  # large coefficient: its two leading bits are implied, and the exponent is two bits further on
        width -= 2
        implied = 0b100 << width
        rest &= (1 << (bits - 3)) - 1
    coefficient = implied | (rest & ((1 << width) - 1))
    return Decimal((sign, tuple(int(digit) for digit in str(coefficient)), (rest >> width) - bias))
