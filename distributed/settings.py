"""Nested settings: the short name that they give to what they made, and in what two of them differ."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def settings_key(settings: dict[str, Any]) -> str:
    """A name of 12 characters that changes with any setting."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def differences(there: dict[str, Any], here: dict[str, Any], prefix: str = "") -> list[str]:
    """Each setting in which two nested settings differ, as `key: old there, new here`."""
    found = []
    for key in sorted(there.keys() | here.keys()):
        old, new = there.get(key), here.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: {old} there, {new} here")
    return found
