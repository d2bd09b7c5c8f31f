"""Function tools: typed functions whose docstrings and parameters are what the model sees."""

from typing import Annotated

from lifecycle.extensions import ToolContext, tool

ORDERS = {"A1001": "packed, leaves today", "A1002": "delivered on Monday"}


@tool(show_arguments=("order_id",), show_result=True, timeout_s=5)
def order_status(order_id: Annotated[str, "As printed on the invoice, like A1001"]) -> str:
    """Look up where an order is."""
    found = next((number for number in ORDERS if number in order_id.upper()), None)
    return f"Order {found} is {ORDERS[found]}." if found else "There is no such order; ask for the number again."


@tool(approval={"when": "usd > 100"}, show_arguments=True)
async def refund_order(
    order_id: Annotated[str, "As printed on the invoice"], usd: Annotated[float, "How much"], context: ToolContext
) -> dict[str, str]:
    """Pay back an order, or a part of it."""
    # The payment service identifies a payment by this key, so that a repeated request pays only once.
    return {"order_id": order_id, "paid_back": f"{usd:.2f} USD", "reference": context.idempotency_key}
