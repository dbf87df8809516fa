"""What the trainings of the command line share, whatever they train on."""

from __future__ import annotations


class InputError(ValueError):
    """What a user gave cannot be used; the message is one line and says why."""
