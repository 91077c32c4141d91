"""Text form of numbers: floats as in JavaScript, decimals in plain digits.

Page code writes attributes with ``String(x)`` (ECMAScript, Number::toString), and an attribute written by both sides
must have the same text. pyarrow's cast produces the same shortest digits, but switches to an exponent at 1e10
(JavaScript: 1e21), keeps the sign of zero, and writes small decimals with an exponent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.profiles.values.text_column import TextColumn, filled, marks

if TYPE_CHECKING:
    import numpy.typing as npt

_ARROW_EXPONENT_FROM = 1e10
_JAVASCRIPT_EXPONENT_FROM = 1e21
_EXACT_INTEGERS_UP_TO = {pa.float32(): 2**24, pa.float64(): 2**53}
_DECIMAL_EXPONENT_BEYOND_SCALE = 6


def float_text(array: pa.Array) -> TextColumn:
    """Return floats as JavaScript's ``String(x)`` writes them, with the fewest digits that round-trip in their width.

    pyarrow converts the whole column; only cells in a form that differs from JavaScript's are replaced.

    :param array: Array of type float16, float32 or float64. NaN becomes null; infinities have no text form.
    """
    if pa.types.is_float16(array.type):
        array = _widened(array)
    values = filled(array)
    infinite = np.isinf(values)
    finite = np.isfinite(values)
    if not finite.all():
        array = pc.if_else(pa.array(finite), array, None)
        values = np.where(finite, values, 0)
    magnitudes = np.abs(values)
    plain = not (magnitudes >= _JAVASCRIPT_EXPONENT_FROM).any()
    whole = (np.trunc(magnitudes) == magnitudes) & (magnitudes <= _EXACT_INTEGERS_UP_TO[array.type])
    if whole.all():
        return TextColumn.without(_whole_text(array), infinite, plain=plain)
    # Adding zero removes the sign of a negative zero.
    text = pc.add(array, pa.scalar(0, array.type)).cast(pa.string())
    large = (magnitudes >= _ARROW_EXPONENT_FROM) & (magnitudes < _JAVASCRIPT_EXPONENT_FROM)
    text = _replaced(text, large & whole, lambda mask: _whole_text(array.filter(mask)))
    text = _without_exponents(text, large & ~whole)
    return TextColumn.without(text, infinite, plain=plain)


def decimal_text(array: pa.Array) -> TextColumn:
    """Return decimals in plain digits, with the scale of their type: ``12.50`` stays ``12.50``.

    :param array: Array of type decimal32, decimal64, decimal128 or decimal256.
    """
    text = array.cast(pa.string())
    if 0 <= array.type.scale <= _DECIMAL_EXPONENT_BEYOND_SCALE:
        return TextColumn(text, None, plain=True)
    exponents = marks(pc.match_substring(text, "E"))
    return TextColumn(_without_exponents(text, exponents), None, plain=True)


def javascript_number(shortest: str) -> str:
    """Return one finite number as JavaScript's ``String(x)`` writes it.

    :param shortest: The number with the fewest digits that round-trip, as returned by ``repr`` and NumPy's ``str``:
        ``0.1``, ``3.0``, ``1e-07``.
    """
    number = Decimal(shortest)
    if number.is_zero():
        return "0"
    if not Decimal("1e-6") <= abs(number) < Decimal("1e21"):
        mantissa, _, exponent = shortest.partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _widened(array: pa.Array) -> pa.Array:
    """Convert float16 to the float64 with the same shortest digits, once per distinct value (65,536 at most)."""
    distinct, indices = np.unique(filled(array.view(pa.uint16())), return_inverse=True)
    doubles = np.array([float(str(half)) for half in distinct.view(np.float16)], dtype=np.float64)
    return pc.if_else(array.is_valid(), pa.array(doubles[indices]), None)


def _whole_text(array: pa.Array) -> pa.Array:
    return array.cast(pa.int64()).cast(pa.string())


def _without_exponents(text: pa.Array, cells: npt.NDArray[np.bool_]) -> pa.Array:
    """Rewrite the masked cells, which pyarrow wrote with an exponent, in plain digits."""

    def plain_digits(mask: pa.Array) -> pa.Array:
        distinct = text.filter(mask).dictionary_encode()
        digits = [format(Decimal(value), "f") for value in distinct.dictionary.to_pylist()]
        return pa.array(digits, pa.string()).take(distinct.indices)

    return _replaced(text, cells, plain_digits)


def _replaced(text: pa.Array, cells: npt.NDArray[np.bool_], replacement: Any) -> pa.Array:
    if not cells.any():
        return text
    mask = pa.array(cells)
    return pc.replace_with_mask(text, mask, replacement(mask))
