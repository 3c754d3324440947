"""Hosted and self-hosted language models, by pydantic-ai. The only module that imports it, and only when one is used.

`CHEERFUL_CLASSIFIER` names the model: `anthropic:NAME`, `openai:NAME`, or `openai-compatible:NAME` with a base URL
(vLLM, Ollama, a proxy). One call a conversation, no tools to call, an answer bound to a schema and asked for once
more where it breaks it. 429 and 5xx are tried again by the provider's own client, which honours Retry-After.
"""

import asyncio
import hashlib
import json
import queue
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from cheerful_pipelines.classification.budget import Budget
from cheerful_pipelines.classification.labels.table import TAXONOMY_VERSION
from cheerful_pipelines.classification.llm.llm_answer import LlmAnswer, verdict_of
from cheerful_pipelines.classification.llm.prompt import RenderedConversation, instructions, prompt_version, render
from cheerful_pipelines.classification.llm_deadlines import (
    CANCEL_SECONDS,
    QUESTION_SECONDS,
    TRANSFER_SECONDS,
    close,
    conversation_seconds,
    run_within,
    timed,
)
from cheerful_pipelines.classification.local import rules
from cheerful_pipelines.classification.models import CallFailed, ClassifierIdentity, Conversation, Usage, Verdict
from cheerful_pipelines.classification.verdict import GUARD_VERSION, human_words
from cheerful_pipelines.core.context_threads import in_this_context
from cheerful_pipelines.core.errors import (
    AuthError,
    CheerfulError,
    ConfigurationError,
    PermanentError,
    SlowCallError,
    TransientError,
)
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.storage.engine import transaction_is_open

if TYPE_CHECKING:
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model
    from pydantic_ai.models.batch import BatchRequest

logger = get_logger(__name__)

Provider = Literal["anthropic", "openai", "openai-compatible"]
MOST_TOKENS_OUT = 700
BATCH_SHARE_OF_PRICE = 0.5
_CHARACTERS_A_TOKEN = 3.2  # on the careful side for five languages; what was used is measured afterwards
_TYPICAL_TOKENS_OUT = 140
_ANSWER_TOOL = "verdict"
_TRIES_OF_THE_CLIENT = 4
_FAILURES_IN_A_ROW = 12
"""So many failed calls one after the other, and the rest of the run is left for later."""
_HANDLES: Any = None


class LlmOptions(BaseModel):
    """Which model, where, and how hard it is asked. The key never enters an identity, a log or an error."""

    model_config = ConfigDict(frozen=True)
    provider: Provider
    model: str
    api_key: str | None = None
    base_url: str | None = None
    at_once: int = 16
    timeout_seconds: float = 60.0
    usd_per_million_tokens_in: float | None = None
    usd_per_million_tokens_out: float | None = None


class Estimate(BaseModel):
    """What judging some conversations would take. `usd` is None where the price is not known."""

    model_config = ConfigDict(frozen=True)
    calls: int
    tokens_in: int
    tokens_out: int
    usd: float | None
    usd_as_batch: float | None


class LlmClassifier:
    """Implements `Classifier` by a language model. Several threads may use it; each call has its own connections."""

    is_paid = True

    def __init__(self, options: LlmOptions) -> None:
        self._options = options
        settings = (rules.rulebook().version, GUARD_VERSION, MOST_TOKENS_OUT, _schema(), options.base_url or "")
        settings_hash = hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
        parts = (options.provider, options.model, prompt_version(), TAXONOMY_VERSION, settings_hash)
        self._identity = ClassifierIdentity(
            provider=parts[0], model=parts[1], prompt_version=parts[2], taxonomy_version=parts[3],
            settings_hash=parts[4], version=hashlib.sha256("|".join(parts).encode()).hexdigest()[:16],
        )  # fmt: skip

    def identity(self) -> ClassifierIdentity:
        """Provider, model, prompt, taxonomy; the schema, the rules and the endpoint are its settings."""
        return self._identity

    def classify(self, conversation: Conversation) -> Verdict:
        """One conversation. Raises CheerfulError where no answer can be had."""
        for _, outcome in self.classify_many([conversation], Budget.without_limits()):
            if isinstance(outcome, Verdict):
                return outcome
            raise PermanentError(f"The model gave no verdict: {outcome.reason}.")
        raise PermanentError("The model gave no verdict.")

    def classify_many(
        self, conversations: Sequence[Conversation], budget: Budget
    ) -> Iterator[tuple[int, Verdict | CallFailed]]:
        """(position, verdict or why there is none), as answers come in. The next call of a worker waits until its last
        answer was taken, so that whoever stores what it takes never has more paid answers unstored than `at_once`.

        Raises AuthError, ConfigurationError or PermanentError where no call can succeed.
        """
        if transaction_is_open():
            raise RuntimeError("A transaction is open: no language model may be asked while the database waits.")
        if not conversations:
            return
        work = _Work(self, conversations, budget)
        thread = threading.Thread(target=in_this_context(work.run), name="llm-calls", daemon=True)
        thread.start()
        try:
            yield from work.outcomes()
        finally:
            work.stop()
            thread.join()

    def estimate(self, conversations: Sequence[Conversation]) -> Estimate:
        """Tokens and dollars for these conversations, without a call. Cache and rules are the caller's to count."""
        fixed = (len(instructions()) + len(_schema())) / _CHARACTERS_A_TOKEN
        tokens_in = sum(
            int(fixed + len(render(item, code="0" * 8).text) / _CHARACTERS_A_TOKEN) for item in conversations
        )
        tokens_out = _TYPICAL_TOKENS_OUT * len(conversations)
        usd = self.price(Usage(tokens_in=tokens_in, tokens_out=tokens_out))
        return Estimate(
            calls=len(conversations), tokens_in=tokens_in, tokens_out=tokens_out, usd=usd,
            usd_as_batch=None if usd is None else usd * BATCH_SHARE_OF_PRICE,
        )  # fmt: skip

    def price(self, usage: Usage) -> float | None:
        """US dollars by the settings' prices, else by genai-prices' table for this model; None where neither knows."""
        options = self._options
        if options.usd_per_million_tokens_in is not None and options.usd_per_million_tokens_out is not None:
            return (
                usage.tokens_in * options.usd_per_million_tokens_in
                + usage.tokens_out * options.usd_per_million_tokens_out
            ) / 1e6
        if options.provider == "openai-compatible":
            return None
        _need_the_extra()
        from genai_prices import Usage as PricedUsage
        from genai_prices import calc_price

        try:
            found = calc_price(
                PricedUsage(
                    input_tokens=usage.tokens_in,
                    output_tokens=usage.tokens_out,
                    cache_read_tokens=usage.tokens_cached or None,
                ),
                options.model,
                provider_id=options.provider,
            )
        except LookupError:
            return None
        return float(Decimal(found.total_price))

    # --- batches: half the price within a day -----------------------------------------------------------------

    def submit_batch(self, conversations: Mapping[str, Conversation]) -> str:
        """Hand in one batch; keys are custom ids (letters, digits, - and _). Returns a handle to keep. Not repeated
        on failure: the provider may have taken it. Raises CheerfulError.
        """

        async def submit(model: "Model") -> str:
            requests = [self._batch_request(key, talk) for key, talk in conversations.items()]
            encoded = [await model.batch_encode(request) for request in requests]
            return _handles().dump_json(await model.batch_create(encoded)).decode()

        return str(self._run_with_model(submit, seconds=TRANSFER_SECONDS))

    def batch_has_ended(self, handle: str) -> tuple[bool, str]:
        """Whether the provider is done with it, and the handle as it stands now. Raises CheerfulError."""

        async def ask(model: "Model") -> tuple[bool, str]:
            batch = await model.batch_status(_handles().validate_json(handle))
            return batch.status == "ended", _handles().dump_json(batch).decode()

        ended, renewed = self._run_with_model(ask, seconds=QUESTION_SECONDS)
        return bool(ended), str(renewed)

    def batch_outcomes(self, handle: str, conversations: Mapping[str, Conversation]) -> dict[str, Verdict | CallFailed]:
        """Results of an ended batch by custom id; what the provider did not run or answered badly is CallFailed."""

        async def fetch(model: "Model") -> dict[str, Verdict | CallFailed]:
            results = await model.batch_results(_handles().validate_json(handle))
            outcomes: dict[str, Verdict | CallFailed] = {}
            for result in results:
                talk = conversations.get(result.custom_id)
                if talk is not None:
                    request = self._batch_request(result.custom_id, talk)
                    outcomes[result.custom_id] = self._batch_outcome(model, result, request, talk)
            missing = conversations.keys() - outcomes.keys()
            return outcomes | {key: CallFailed(reason="no result came back") for key in missing}

        return dict(self._run_with_model(fetch, seconds=TRANSFER_SECONDS))

    def cancel_batch(self, handle: str) -> None:
        """Ask the provider to stop; what is done by then is paid for and can be fetched."""

        async def cancel(model: "Model") -> None:
            await model.batch_cancel(_handles().validate_json(handle))

        self._run_with_model(cancel, seconds=CANCEL_SECONDS)

    def _batch_request(self, key: str, conversation: Conversation) -> "BatchRequest":
        from pydantic_ai.messages import InstructionPart, ModelRequest
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.models.batch import BatchRequest
        from pydantic_ai.tools import ToolDefinition

        tool = ToolDefinition(
            name=_ANSWER_TOOL, description="The verdict.", kind="output",
            parameters_json_schema=LlmAnswer.model_json_schema(),
        )  # fmt: skip
        code = hashlib.sha256(f"{key}{secrets.token_hex(8)}".encode()).hexdigest()[:12]
        message = ModelRequest.user_text_prompt(render(conversation, code=code).text, instructions=instructions())
        return BatchRequest(
            custom_id=key,
            messages=[message],
            model_settings={"temperature": 0.0, "max_tokens": MOST_TOKENS_OUT},
            model_request_parameters=ModelRequestParameters(
                output_tools=[tool], output_mode="tool", allow_text_output=False,
                instruction_parts=[InstructionPart(content=instructions())],
            ),
        )  # fmt: skip

    def _batch_outcome(
        self, model: "Model", result: Any, request: "BatchRequest", conversation: Conversation
    ) -> Verdict | CallFailed:
        from pydantic_ai.exceptions import AgentRunError

        try:
            response = model.batch_decode(result, request)
        except AgentRunError as error:
            return CallFailed(reason=f"the batch could not answer it ({type(error).__name__})")
        usage = _usage_of(response.usage)
        cost = self.price(usage)
        cost = None if cost is None else cost * BATCH_SHARE_OF_PRICE
        answer = _answer_of(response)
        if answer is None:
            return CallFailed(reason="the answer broke the schema", usage=usage, cost_usd=cost)
        return self._verdict(answer, conversation, render(conversation, code="0"), usage, cost, None)

    # --- one call ---------------------------------------------------------------------------------------------

    async def _ask(
        self, agent: "Agent[None, LlmAnswer]", conversation: Conversation, budget: Budget
    ) -> Verdict | CallFailed:
        from pydantic_ai.exceptions import AgentRunError
        from pydantic_ai.usage import RunUsage

        sent = render(conversation, code=secrets.token_hex(6))
        tokens = int((len(instructions()) + len(_schema()) + len(sent.text)) / 2.5)
        most = self.price(Usage(tokens_in=tokens, tokens_out=MOST_TOKENS_OUT))
        if not budget.reserve(most):
            return CallFailed(reason="budget", is_for_later=True)
        began, used = time.monotonic(), RunUsage()
        try:
            async with asyncio.timeout(conversation_seconds(self._options.timeout_seconds)):
                result = await agent.run(sent.text, usage=used)
        except (AgentRunError, TimeoutError) as error:
            usage = _usage_of(used)
            cost = self.price(usage) if usage.tokens_in else 0.0
            budget.settle(most, cost)
            stop = _ends_everything(error, self._options)
            if stop is not None:
                raise stop from error
            name = SlowCallError.__name__ if isinstance(error, TimeoutError) else type(error).__name__
            logger.warning("llm_call_failed", error=name, provider=self._options.provider)
            return CallFailed(reason=name, usage=usage, cost_usd=cost)
        usage = _usage_of(result.usage)
        cost = self.price(usage)
        budget.settle(most, cost)
        return self._verdict(result.output, conversation, sent, usage, cost, (time.monotonic() - began) * 1000)

    def _verdict(
        self, answer: LlmAnswer, conversation: Conversation, sent: RenderedConversation, usage: Usage,
        cost: float | None, latency_ms: float | None,
    ) -> Verdict:  # fmt: skip
        judged = human_words(conversation)
        return verdict_of(
            answer, judged.message.new_words if judged else "", truncated=sent.is_truncated, redactions=sent.redactions,
            tokens_in=usage.tokens_in, tokens_out=usage.tokens_out, cost_usd=cost, latency_ms=latency_ms,
        )  # fmt: skip

    def _agent(self, model: "Model") -> "Agent[None, LlmAnswer]":
        from pydantic_ai import Agent, NativeOutput, ToolOutput

        # Self-hosted servers bind answers to a schema by guided decoding; calling tools needs a parser they often lack.
        is_own = self._options.provider == "openai-compatible"
        output: Any = NativeOutput(LlmAnswer) if is_own else ToolOutput(LlmAnswer, name=_ANSWER_TOOL)
        return Agent(
            model, output_type=output, instructions=instructions(), retries=1,
            model_settings={
                "temperature": 0.0, "max_tokens": MOST_TOKENS_OUT, "timeout": self._options.timeout_seconds,
            },
        )  # fmt: skip

    def _model(self, request_seconds: float) -> tuple["Model", Any]:
        """The model and the client whose connections must be closed, made in the running loop. No request, with its
        body, takes longer than that.
        """
        _need_the_extra()
        options = self._options
        shared: dict[str, Any] = {
            "api_key": options.api_key or "none", "base_url": options.base_url,
            "max_retries": _TRIES_OF_THE_CLIENT, "timeout": options.timeout_seconds,
        }  # fmt: skip
        if options.provider == "anthropic":
            from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            http = timed(DefaultAsyncHttpxClient, request_seconds)(timeout=options.timeout_seconds)
            anthropic = AsyncAnthropic(**shared, http_client=http)
            return AnthropicModel(options.model, provider=AnthropicProvider(anthropic_client=anthropic)), anthropic
        from openai import AsyncOpenAI
        from openai import DefaultAsyncHttpxClient as OpenAIHttpClient
        from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
        from pydantic_ai.profiles.openai import OpenAIModelProfile
        from pydantic_ai.providers.openai import OpenAIProvider

        http = timed(OpenAIHttpClient, request_seconds)(timeout=options.timeout_seconds)
        openai = AsyncOpenAI(**shared, http_client=http)
        if options.provider == "openai":
            return OpenAIResponsesModel(options.model, provider=OpenAIProvider(openai_client=openai)), openai
        profile = OpenAIModelProfile(supports_json_schema_output=True)
        return OpenAIChatModel(options.model, provider=OpenAIProvider(openai_client=openai), profile=profile), openai

    def _run_with_model(self, work: Any, *, seconds: float) -> Any:
        """What `work` makes of a model with a batch interface, within so many seconds of wall-clock time."""
        if transaction_is_open():
            raise RuntimeError("A transaction is open: no language model may be asked while the database waits.")

        async def run() -> Any:
            model, client = self._model(seconds)
            try:
                if model.batch_max_requests is None:
                    raise ConfigurationError(
                        f"{self._options.provider} models have no batch interface.",
                        what_to_do="Classify live: materialize thread_classifications.",
                    )
                return await work(model)
            finally:
                await close(client)

        from pydantic_ai.exceptions import AgentRunError, UserError

        _need_the_extra()
        try:
            return run_within(seconds, run, name=f"The call to {self._options.provider} about a batch")
        except UserError as error:
            raise ConfigurationError(f"The batch was refused before it was sent: {error}") from error
        except AgentRunError as error:
            stop = _ends_everything(error, self._options)
            raise stop or _failed(error) from error
        except Exception as error:
            found = _of_client(error, self._options)
            if found is None:
                raise
            raise found from error


class _Work:
    """One `classify_many` under way: an event loop in a thread of its own, and the way back to the caller."""

    def __init__(self, classifier: LlmClassifier, conversations: Sequence[Conversation], budget: Budget) -> None:
        self._classifier = classifier
        self._conversations = conversations
        self._budget = budget
        self._answers: queue.Queue[tuple[int, Verdict | CallFailed, asyncio.Event] | BaseException | None] = (
            queue.Queue()
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopped = False

    def run(self) -> None:
        """In the thread."""
        try:
            asyncio.run(self._all())
        except BaseException as error:  # handed to the caller, who raises it
            self._answers.put(error)
        finally:
            self._answers.put(None)

    def outcomes(self) -> Iterator[tuple[int, Verdict | CallFailed]]:
        """In the caller's thread. Taking the next one says that the last one is dealt with."""
        while (item := self._answers.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            position, outcome, taken = item
            yield position, outcome
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(taken.set)

    def stop(self) -> None:
        """No further call; those under way are given up."""
        self._is_stopped = True
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
            except RuntimeError:  # closed in between: all the better
                return

    async def _all(self) -> None:
        self._loop = asyncio.get_running_loop()
        model, client = self._classifier._model(self._classifier._options.timeout_seconds)
        try:
            agent = self._classifier._agent(model)
            waiting = iter(enumerate(self._conversations))
            in_a_row = 0

            async def worker() -> None:
                nonlocal in_a_row
                for position, conversation in waiting:  # shared: the next one to whoever is free
                    if self._is_stopped:
                        return
                    if in_a_row >= _FAILURES_IN_A_ROW:
                        outcome: Verdict | CallFailed = CallFailed(reason="provider is away", is_for_later=True)
                    else:
                        outcome = await self._classifier._ask(agent, conversation, self._budget)
                    if not (isinstance(outcome, CallFailed) and outcome.is_for_later):
                        in_a_row = 0 if isinstance(outcome, Verdict) else in_a_row + 1
                    taken = asyncio.Event()
                    self._answers.put((position, outcome, taken))
                    await taken.wait()

            many = min(self._classifier._options.at_once, len(self._conversations))
            async with asyncio.TaskGroup() as group:
                for _ in range(many):
                    group.create_task(worker())
        except* CheerfulError as errors:
            raise errors.exceptions[0] from None
        finally:
            await close(client)


def _handles() -> TypeAdapter[Any]:
    global _HANDLES
    if _HANDLES is None:
        from pydantic_ai.models.batch import Batch

        _HANDLES = TypeAdapter(Batch)
    adapter: TypeAdapter[Any] = _HANDLES
    return adapter


def _schema() -> str:
    return json.dumps(LlmAnswer.model_json_schema(), sort_keys=True)


def _usage_of(usage: Any) -> Usage:
    return Usage(
        tokens_in=usage.input_tokens or 0,
        tokens_out=usage.output_tokens or 0,
        tokens_cached=getattr(usage, "cache_read_tokens", 0) or 0,
    )


def _answer_of(response: "ModelResponse") -> LlmAnswer | None:
    for call in response.tool_calls:
        try:
            return LlmAnswer.model_validate(call.args_as_dict())
        except (ValidationError, ValueError):
            return None
    return None


def _ends_everything(error: Exception, options: LlmOptions) -> CheerfulError | None:
    """The error that stops a run, where one more call would fail just the same; None for what passes."""
    from pydantic_ai import exceptions

    where = f"{options.provider}:{options.model}"
    if isinstance(error, exceptions.ModelAuthenticationError):
        return AuthError(f"{where} refuses the key.", what_to_do="Check CHEERFUL_LLM_API_KEY.")
    if isinstance(error, exceptions.ModelNotFoundError):
        return ConfigurationError(
            f"The provider knows no model {options.model!r}.", what_to_do="Check CHEERFUL_CLASSIFIER."
        )
    if isinstance(error, exceptions.ModelQuotaExceededError):
        return PermanentError(
            f"The account behind {where} has no credit left.", what_to_do="Top it up, or change the key."
        )
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        return AuthError(f"{where} refuses the key ({status}).", what_to_do="Check CHEERFUL_LLM_API_KEY.")
    return None


def _of_client(error: Exception, options: LlmOptions) -> CheerfulError | None:
    """Errors that the batch calls let through from the providers' own clients."""
    status = getattr(error, "status_code", None)
    name = type(error).__name__
    if status in (401, 403):
        return AuthError(f"{options.provider} refuses the key ({status}).", what_to_do="Check CHEERFUL_LLM_API_KEY.")
    if status is not None or name in ("APIConnectionError", "APITimeoutError"):
        return _failed(error)
    return None


def _failed(error: Exception) -> CheerfulError:
    """What passes by itself (no connection, 408, 409, 429, 5xx) is transient: a provider that hangs for a minute must
    not put a batch off for a day.
    """
    from pydantic_ai.exceptions import ModelAPIError

    name, status = type(error).__name__, getattr(error, "status_code", None)
    words = f"The provider failed ({name}{f' {status}' if status else ''})."
    if status is None:
        passes = isinstance(error, ModelAPIError) or name in ("APIConnectionError", "APITimeoutError")
    else:
        passes = status in (408, 409, 429) or status >= 500
    return TransientError(words) if passes else PermanentError(words)


def _need_the_extra() -> None:
    try:
        import pydantic_ai  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "CHEERFUL_CLASSIFIER names a language model, and the libraries for it are not installed.",
            what_to_do="pip install 'cheerful_pipelines[llm]', or set CHEERFUL_CLASSIFIER=local.",
        ) from error
