"""What a column has become once it is written out: text, and the cells that have none."""

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
    """One column of a batch, as the text Adobe Target is to store.

    :param text: ``pa.string()`` array; null means 'leave the attribute as it is'.
    :param unsupported: True where the cell holds something that has no text form (its text is null);
        None where no cell does.
    :param plain: whether each text has some characters, only such of ``A-Z a-z 0-9 - _ . ~``, and so needs neither
        URL encoding nor a look for risky characters. Told by the type and, for floats, by their range.
    """

    text: pa.Array
    unsupported: pa.BooleanArray | None
    plain: bool

    @classmethod
    def without(cls, text: pa.Array, unsupported: npt.NDArray[np.bool_] | None = None, *, plain: bool) -> TextColumn:
        """Take the cells marked in ``unsupported`` out of ``text``.

        :param text: ``pa.string()`` array.
        :param unsupported: True for each cell without a text form; None for none.
        :param plain: see the class.
        """
        if unsupported is None or not unsupported.any():
            return cls(text, None, plain)
        mask = pa.array(unsupported)
        return cls(nulled(text, mask), mask, plain)


def nulled(text: pa.Array, mask: pa.BooleanArray) -> pa.Array:
    """Make the marked cells of a text column null.

    pyarrow's ``if_else`` would do, but in versions 18 to 21 it makes garbage of slices of text.
    """
    return pc.replace_with_mask(text, mask, pa.scalar(None, pa.string()))


def marks(array: pa.BooleanArray) -> npt.NDArray[np.bool_]:
    """View a column of booleans as numpy, False where it is null."""
    return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)


def filled(array: pa.Array) -> npt.NDArray[Any]:
    """View a column of numbers as numpy, zero where it is null, without a copy where nothing is null."""
    return np.asarray(array.fill_null(0).to_numpy(zero_copy_only=False))
