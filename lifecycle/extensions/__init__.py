"""Extensions: an app's own tools, checks of answers, context providers and chat clients, in modules that it loads.

    from lifecycle.extensions import ToolContext, chat_client, check, context_provider, tool

    @tool
    def order_status(order_id: Annotated[str, "As printed on the invoice"], context: ToolContext) -> str:
        '''Look up where an order is.'''

The setting EXTENSIONS names the modules; docs/tools.md describes them.
"""

from lifecycle.evaluation.checks import check
from lifecycle.extensions.definition import chat_client
from lifecycle.tools.context import ToolContext
from lifecycle.tools.context_providers import context_provider
from lifecycle.tools.definition import tool

__all__ = ["ToolContext", "chat_client", "check", "context_provider", "tool"]
