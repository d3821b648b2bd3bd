"""Showing a page to whoever sits in front of this machine."""

from __future__ import annotations

import os
import sys
import webbrowser


def show_page(address: str) -> None:
    """Open the page in the desktop's browser; nothing happens where there is no desktop."""
    if has_desktop():
        webbrowser.open(address)


def has_desktop() -> bool:
    """Whether a window opened here is seen by who asked for it; without one Python would start a text browser."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
