"""Errors a person may meet: each message names the cause and the cure."""

from __future__ import annotations


class ForeshoreError(Exception):
    """Base of every error that is shown without a traceback."""


class ConfigError(ForeshoreError):
    """The configuration is missing, malformed, or names something that does not exist."""


class RequestError(ForeshoreError):
    """What was asked for cannot be: a date off the grid, a range upside down, a future epoch."""


class StorageError(ForeshoreError):
    """The lake cannot be written or holds something that was not landed by Foreshore."""


class Busy(ForeshoreError):
    """Another extraction holds the lake."""
