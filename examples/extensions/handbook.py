"""A context provider: text that the model gets before it answers, here two pages of a handbook."""

from lifecycle.extensions import context_provider

PAGES = {
    "return": "Orders can be returned within 30 days. The customer pays for the parcel.",
    "warranty": "Devices have a warranty of two years.",
}


@context_provider
async def handbook(query: str) -> str | None:
    """Return the pages that mention the question's subject; a real provider would search an index."""
    found = [text for word, text in PAGES.items() if word in query.lower()]
    return "\n".join(found) or None
