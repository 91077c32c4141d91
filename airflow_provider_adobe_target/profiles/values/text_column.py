"""A column converted to text, with a mask of the cells that have no text form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class TextColumn:
    """One column of a batch as text.

    :param text: Array of type string. Null means that the attribute is not changed.
    :param unsupported: Mask of the cells whose value has no text form; their text is null. None if there are none.
    :param plain: Whether no text is empty and all characters are in ``A-Z a-z 0-9 - _ . ~``, so that the column needs
        neither percent-encoding nor a check for delimiters. Derived from the type and, for floats, from their range.
    """

    text: pa.Array
    unsupported: pa.BooleanArray | None
    plain: bool

    @classmethod
    def without(cls, text: pa.Array, unsupported: npt.NDArray[np.bool_] | None = None, *, plain: bool) -> TextColumn:
        """Return a column in which the ``unsupported`` cells are null.

        :param text: Array of type string.
        :param unsupported: Mask of the cells without a text form; None for none.
        :param plain: As for the class.
        """
        if unsupported is None or not unsupported.any():
            return cls(text, None, plain)
        mask = pa.array(unsupported)
        return cls(nulled(text, mask), mask, plain)


def nulled(text: pa.Array, mask: pa.BooleanArray) -> pa.Array:
    """Return a string array with the masked cells set to null.

    pyarrow's ``if_else`` corrupts sliced string arrays in versions 18 to 21.
    """
    return pc.replace_with_mask(text, mask, pa.scalar(None, pa.string()))


def marks(array: pa.BooleanArray) -> npt.NDArray[np.bool_]:
    """Return a boolean array as NumPy array. Null becomes False."""
    return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)


def filled(array: pa.Array) -> npt.NDArray[Any]:
    """Return a numeric array as NumPy array. Null becomes zero. An array without nulls is not copied."""
    return np.asarray(array.fill_null(0).to_numpy(zero_copy_only=False))
