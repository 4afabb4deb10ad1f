"""What models were asked and what they said, for people."""

from __future__ import annotations

from collections.abc import Iterable

from operate.markets.calls import Call

FILE_NAME = "transcript.md"


def transcript(calls: Iterable[Call]) -> str:
    """Every call under a heading of its own: facts, messages, answer; quoted, so that none can pass for a heading."""
    return "\n".join(_one(call) for call in calls)


def _one(call: Call) -> str:
    tokens = " + ".join("?" if n is None else str(n) for n in (call.prompt_tokens, call.completion_tokens))
    facts = [
        f"asked {call.asked_at:%Y-%m-%d %H:%M:%S} UTC, {call.latency_seconds:g} s, {call.tries} tries",
        f"model {call.model_answered or '?'} (asked for {call.model_asked}), temperature {call.temperature:g}"
        + (f", seed {call.seed}" if call.seed is not None else ""),
        f"tokens {tokens}, charged {call.charged_tokens}, {call.cost_usd:.6f} USD",
        f"prompt {call.prompt_sha256[:12]}, request {call.request_sha256[:12]}",
        f"{call.status}: {call.finish or call.error_class}",
    ]
    head = f"## {call.market_id} {call.experiment}@{call.experiment_version} sample {call.sample} call {call.attempt}"
    said = [f"### {message['role']}\n\n{_quoted(message['content'])}" for message in call.messages]
    answer = call.answer if call.status == "answered" else call.error_message
    parts = [head, "\n".join(f"- {fact}" for fact in facts), *said, f"### answer\n\n{_quoted(answer)}"]
    return "\n\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines()) or "> (nothing)"
