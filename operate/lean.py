"""A command's start: no collector while modules are imported, and no libraries that only others would use."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


@contextmanager
def importing() -> Iterator[None]:
    """Imports make next to no garbage; looking for it again and again is a tenth of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def light() -> None:
    """Settle what two libraries look for at their first use and load where it is there, 0.4 s of processor time:
    pyarrow pandas, to tell frames from lists, and pycryptodome cffi with a parser for C, where ctypes does as well.

    Who asks pyarrow for a frame later still gets one: it looks again then.
    """
    hidden = _Hidden({"pandas", "cffi"} - sys.modules.keys())
    sys.meta_path.insert(0, hidden)
    try:
        import pyarrow as pa
        from eth_hash.auto import keccak

        pa.array([0])
        keccak(b"")
    finally:
        sys.meta_path.remove(hidden)


class _Hidden(MetaPathFinder):
    """Says of some packages that they are not there."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{fullname} is not looked for now", name=fullname)
        return None
