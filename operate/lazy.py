"""A command group that imports a verb only when it is called; its help and completion need none of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import click
from click.shell_completion import CompletionItem

from operate.lean import importing, light


@dataclass(frozen=True)
class Verb:
    """Where a command stands (`module:name`), its line in the group's help, and verbs that others add below it.

    `is_lean`: it answers from what is published, in about a second, and loads no more than that takes.
    """

    place: str
    summary: str
    below: Mapping[str, Verb] = field(default_factory=dict)
    is_lean: bool = False

    def load(self) -> click.Command:
        module, name = self.place.split(":")
        with importing():
            if self.is_lean:
                light()
            command: click.Command = getattr(importlib.import_module(module), name)
        if isinstance(command, LazyGroup):
            command.verbs = {**command.verbs, **self.below}
        return command


class LazyGroup(click.Group):
    """A group whose verbs are named, not imported (`verbs`), beside those that were added to it."""

    def __init__(self, *args: object, verbs: Mapping[str, Verb] | None = None, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.verbs: Mapping[str, Verb] = dict(verbs or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.verbs, *(name for name in super().list_commands(ctx) if name not in self.verbs)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = self.verbs.get(cmd_name)
        return verb.load() if verb else super().get_command(ctx, cmd_name)

    def _summaries(self) -> list[tuple[str, str]]:
        own = [(name, verb.summary) for name, verb in self.verbs.items()]
        return own + [(n, c.get_short_help_str(200)) for n, c in self.commands.items() if n not in self.verbs]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self._summaries())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name, help=text) for name, text in self._summaries() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)
