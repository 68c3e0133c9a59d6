"""The base of all records: immutable, built by keyword, with a numbered schema.

Schema history
1  first version: runs, studies, evidence, findings
"""

from __future__ import annotations

import msgspec

SCHEMA = 1


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records: immutable, built by keyword, saved as JSON."""
