"""Models of OpenAI's protocol, as far as agents need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, StringConstraints, Tag, field_validator

from kernel.validation import NullsAsAbsent, text_or_list, text_or_object
from lifecycle.conversations.run_request import MetadataKey, MetadataValue
from triggers.http.base_models import View

Text = Annotated[str, StringConstraints(max_length=1_000_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Metadata = Annotated[Mapping[MetadataKey, MetadataValue], Field(max_length=16, default_factory=dict[str, str])]


class _Sent(NullsAsAbsent):
    """Base of request models; unknown fields of a message are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Part(_Sent):
    """A part of a message's content."""

    type: Annotated[str, StringConstraints(max_length=64)]
    text: Text | None = None
    refusal: Text | None = None


_SaidText = Annotated[Text, Tag("(text)")]
Said = Annotated[
    _SaidText | Annotated[tuple[Part, ...], Field(max_length=256), Tag("(list)")], Discriminator(text_or_list)
]


class CalledFunction(_Sent):
    """The function that a message calls, and its arguments as JSON."""

    name: Name
    arguments: Text = ""


class ChatToolCall(_Sent):
    """A call of a caller's tool, as in an earlier answer."""

    id: Name
    function: CalledFunction | None = None


class ChatMessage(_Sent):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Said | None = None
    tool_calls: Annotated[tuple[ChatToolCall, ...], Field(max_length=128)] = ()
    tool_call_id: Name | None = None


class StreamOptions(_Sent):
    """Options of a stream; for Chat Completions, whether a chunk with the usage ends it."""

    include_usage: StrictBool = False


class _Asked(NullsAsAbsent):
    """Base of requests: parameters used, parameters ignored, and parameters refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    model: Name
    stream: bool = False
    metadata: Metadata
    user: Name | None = None
    safety_identifier: Name | None = None
    stream_options: Annotated[StreamOptions, Field(default_factory=StreamOptions)]
    tools: Sequence[Any] = ()
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    moderation: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    service_tier: Any = None
    temperature: float | None = None
    top_logprobs: int | None = None
    top_p: float | None = None

    @property
    def who(self) -> str | None:
        """The user the request is made for."""
        return self.user or self.safety_identifier


class ChatBody(_Asked):
    """A request of Chat Completions. The response header `X-Ignored-Parameters` lists parameters without effect."""

    messages: Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=2000)]
    n: int | None = None
    audio: Any = None
    frequency_penalty: float | None = None
    function_call: Any = None
    functions: Sequence[Any] = ()
    logit_bias: Any = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    modalities: Sequence[str] | None = None
    prediction: Any = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None
    response_format: Mapping[str, Any] | None = None
    seed: int | None = None
    stop: Any = None
    store: bool | None = None
    verbosity: str | None = None
    web_search_options: Any = None


class InputItem(_Sent):
    """An item of a response's input: a message, a call of a caller's tool, or its result; others are refused."""

    type: Annotated[str, StringConstraints(max_length=64)] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Said | None = None
    call_id: Name | None = None
    name: Name | None = None
    arguments: Text = ""
    output: Said | None = None


class ConversationRef(_Sent):
    """A conversation, by its id."""

    id: Name


AnyConversation = Annotated[
    Annotated[Name, Tag("(text)")] | Annotated[ConversationRef, Tag("(object)")], Discriminator(text_or_object)
]


class ResponseBody(_Asked):
    """A request of Responses. The response header `X-Ignored-Parameters` lists parameters without effect."""

    input: Annotated[
        _SaidText | Annotated[tuple[InputItem, ...], Field(min_length=1, max_length=2000), Tag("(list)")],
        Discriminator(text_or_list),
    ]
    instructions: Text | None = None
    previous_response_id: Name | None = None
    conversation: AnyConversation | None = None
    background: bool = False
    store: bool | None = None
    access_programs: Any = None
    context_management: Any = None
    image: Any = None
    include: Sequence[str] = ()
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    prompt: Any = None
    reasoning: Any = None
    text: Mapping[str, Any] = {}
    truncation: str | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation's id."""
        return self.conversation.id if isinstance(self.conversation, ConversationRef) else self.conversation


class ConversationBody(_Sent):
    """A request for a conversation; `items` are refused, because a session begins with its first question."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    metadata: Metadata
    items: Annotated[Sequence[Any], Field(max_length=0)] = ()

    @field_validator("items", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return () if value is None else value


class Model(View):
    """An agent or team, as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "agent"


class ModelList(View):
    """All agents and teams."""

    object: Literal["list"] = "list"
    data: Sequence[Model]


class ErrorObject(View):
    """The details of an error."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(View):
    """An error in OpenAI's format."""

    error: ErrorObject


class PromptTokensDetails(View):
    """Input tokens read from the provider's cache."""

    cached_tokens: int
    cache_write_tokens: int = 0


class CompletionTokensDetails(View):
    """Output tokens spent on reasoning."""

    reasoning_tokens: int


class CompletionUsage(View):
    """Tokens of all model calls of the answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class CalledFunctionView(View):
    """The function that the model calls, and its arguments as JSON, as the model wrote them."""

    name: str
    arguments: str


class ChatToolCallView(View):
    """A call of a caller's tool by the model."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunctionView


class AnswerMessage(View):
    """The answer; `tool_calls` is null where there are none."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    tool_calls: Sequence[ChatToolCallView] | None = None


class Choice(View):
    """The only choice."""

    index: int = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: str


class ChatCompletion(View):
    """A chat completion."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: Sequence[Choice]
    usage: CompletionUsage


class OutputText(View):
    """A text of an answer."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: Sequence[Any] = ()


class OutputMessage(View):
    """The answer."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: str
    content: Sequence[OutputText]


class OutputCall(View):
    """A call of a caller's tool by the model."""

    id: str
    type: Literal["function_call"] = "function_call"
    call_id: str
    name: str
    arguments: str
    status: str


class ResponseError(View):
    """Why a response failed."""

    code: str
    message: str


class Incomplete(View):
    """Why a response is not complete."""

    reason: str


class InputTokensDetails(View):
    """Input tokens read from the provider's cache."""

    cached_tokens: int
    cache_write_tokens: int = 0


class OutputTokensDetails(View):
    """Output tokens spent on reasoning."""

    reasoning_tokens: int


class ResponseUsage(View):
    """Tokens of all model calls of the response."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class Conversation(View):
    """A conversation."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: Mapping[str, str]


class ConversationId(View):
    """The conversation that a response is part of."""

    id: str


class ResponseView(View):
    """A run as a response."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None
    status: str
    background: bool
    model: str
    output: Sequence[OutputMessage | OutputCall]
    error: ResponseError | None
    incomplete_details: Incomplete | None
    instructions: None = None
    metadata: Mapping[str, str]
    conversation: ConversationId
    previous_response_id: str | None
    usage: ResponseUsage | None
    user: str | None
    parallel_tool_calls: bool = True
    tool_choice: str = "auto"
    tools: Sequence[Any] = ()
    temperature: float | None = None
    top_p: float | None = None


def dumped(value: BaseModel) -> dict[str, Any]:
    """Return a view as JSON values."""
    return value.model_dump(mode="json")
