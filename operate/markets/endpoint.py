"""One OpenAI-compatible endpoint: a request in, what came of it out. Pace, rests and time-outs are its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from decide.markets.experiments.language_model import ModelSpec, Question
from decide.markets.language.reply import FINISHED, REFUSED, SCHEMA
from extract.errors import ForeshoreError
from extract.evm.pace import Clock, Pace
from extract.evm.redact import HIDDEN, redact
from extract.evm.transport import retry_after
from extract.evm.waits import Waits
from extract.text import storable
from operate.markets.models import Endpoint

_PASSING = frozenset({408, 409, 425, 429})
LONGEST_REST_SECONDS = 60.0


class NoClient(ForeshoreError):
    """The extra that talks to language models is not installed."""


@dataclass(frozen=True)
class Reply:
    """What came of a request. `may_have_cost`: the endpoint may have worked for it though it did not say what."""

    text: str = ""
    finish: str = ""
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error_class: str = ""
    error: str = ""
    can_be_tried_again: bool = False
    rest_seconds: float = 0.0
    may_have_cost: bool = False


class Chat:
    """Requests to one endpoint, as many at once and as often as it allows."""

    def __init__(self, endpoint: Endpoint, clock: Clock | None = None) -> None:
        try:
            import openai
        except ImportError:
            raise NoClient("language models need the llm extra: pip install 'foreshore[llm]'") from None
        self._openai, self.endpoint = openai, endpoint
        self._waits = Waits("language model", clock or Clock())
        self._pace = Pace(endpoint.requests_per_minute / 60, self._waits)
        self._slots = asyncio.Semaphore(endpoint.max_in_flight)
        self._client = openai.AsyncOpenAI(
            api_key=endpoint.key or "none", base_url=endpoint.url, timeout=endpoint.timeout_seconds, max_retries=0
        )

    async def close(self) -> None:
        await self._client.close()

    async def rest(self, reply: Reply, tries: int) -> None:
        """Wait before another try: as long as the endpoint asks, else a little longer each time."""
        seconds = min(max(self._waits.clock.jitter(tries), reply.rest_seconds), LONGEST_REST_SECONDS)
        await self._waits.sleep(seconds, reply.error)

    async def ask(self, spec: ModelSpec, question: Question) -> Reply:
        """One request. Whatever happens is a Reply; only a cancelled task raises."""
        async with self._slots:
            await self._pace.take(1)
            try:
                # the client's own time-out counts silence between bytes; this one counts the whole
                async with asyncio.timeout(self.endpoint.timeout_seconds):
                    answer = await self._client.chat.completions.create(**self._request(spec, question))
            except (TimeoutError, self._openai.APITimeoutError):
                words = f"no answer within {self.endpoint.timeout_seconds:g} s"
                return Reply(error_class="ModelTimeout", error=words, can_be_tried_again=True, may_have_cost=True)
            except self._openai.APIStatusError as error:
                return self._refusal(error)
            except self._openai.APIConnectionError as error:
                words = f"no connection ({type(error.__cause__ or error).__name__})"
                return Reply(error_class="ModelUnreachable", error=words, can_be_tried_again=True, may_have_cost=True)
            except Exception as error:  # what the client makes of a body that is none: any class at all
                words = self._hide(f"not an answer ({type(error).__name__}: {error})")
                return Reply(error_class="ModelGarbage", error=words, can_be_tried_again=True, may_have_cost=True)
        return self._read(answer)

    def _request(self, spec: ModelSpec, question: Question) -> dict[str, Any]:
        made: dict[str, Any] = {
            "model": spec.model,
            "messages": [dict(message) for message in question.messages],
            "temperature": spec.temperature,
            "max_tokens": spec.max_tokens,
        }
        if question.seed is not None:
            made["seed"] = question.seed
        if self.endpoint.structured == "json_schema":
            made["response_format"] = {"type": "json_schema", "json_schema": SCHEMA}
        elif self.endpoint.structured == "json_object":
            made["response_format"] = {"type": "json_object"}
        return made

    def _refusal(self, error: Any) -> Reply:
        status = int(error.status_code)
        is_passing = status >= 500 or status in _PASSING
        rest = retry_after(error.response.headers.get("Retry-After")) or 0.0
        if status == 429:
            self._pace.refused(min(rest, LONGEST_REST_SECONDS) or None)
        words = self._hide(f"HTTP {status}: {error.message}")
        name = "ModelRateLimited" if status == 429 else "ModelUnreachable" if is_passing else "ModelRejected"
        return Reply(error_class=name, error=words, can_be_tried_again=is_passing, rest_seconds=rest)

    def _read(self, answer: Any) -> Reply:
        """The first choice of a completion; an answer of any other shape is garbage."""
        try:
            choice, usage = answer.choices[0], answer.usage
            refusal = getattr(choice.message, "refusal", None)
            finish = REFUSED if refusal else str(choice.finish_reason or FINISHED)
            text = refusal or choice.message.content or ""
            counted = (_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
            return Reply(self._hide(str(text), False), finish, self._hide(str(answer.model or "")), *counted)
        except (AttributeError, IndexError, TypeError) as error:
            words = f"an answer without a choice ({type(error).__name__})"
            return Reply(error_class="ModelGarbage", error=words, can_be_tried_again=True, may_have_cost=True)

    def _hide(self, text: str, urls: bool = True) -> str:
        """Text without the key and (in the client's own words) without addresses."""
        if self.endpoint.key:
            text = text.replace(self.endpoint.key, HIDDEN)
        return storable(redact(text) if urls else text)


def _count(usage: Any, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if type(value) is int and value >= 0 else None
