"""The error of a full disk, with what an upload needs and what it has sent."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_adobe_target.client.batch import Batch


@contextmanager
def explain_full_disk(
    batches: Callable[[], Sequence[Batch]], *, rejects_path: str | None, files: int, max_bytes: int
) -> Iterator[None]:
    """Extend the error of a full disk with the space that is needed and the files that were sent before.

    :param batches: Function that returns the batches that were sent.
    :param rejects_path: Folder for rejected rows.
    :param files: Number of files that exist at the same time.
    :param max_bytes: Maximum size of a file.
    :raises OSError: If the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        places = filter(None, [tempfile.gettempdir(), rejects_path])
        accepted = [batch for batch in batches() if not batch.is_planned]
        raise OSError(
            error.errno,
            f"No space is left in {' or '.join(places)}. Space is needed for {files} files "
            f"of max_bytes_per_file={max_bytes:,} (for all files, where all rows are checked before the first "
            "call), for all ids, and for rows that are spilled. Free some space, set the environment variable TMPDIR "
            "to a folder that has enough, or lower max_bytes_per_file. Before this, Adobe Target accepted "
            f"{len(accepted)} files with {sum(batch.rows or 0 for batch in accepted):,} rows: they are in XCom "
            "under 'batches'.",
        ) from error
