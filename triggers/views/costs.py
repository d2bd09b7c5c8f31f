"""What the API answers of costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from llmops.spend.costs import Costs
from triggers.views.base import SpendView, View


class CostGroupView(View):
    """What one group spent."""

    name: str
    spend: SpendView


class CostsView(View):
    """What was spent over some days."""

    first: date
    last: date
    group_by: str
    total: SpendView
    groups: Sequence[CostGroupView]

    @classmethod
    def from_costs(cls, costs: Costs) -> CostsView:
        """Return the view of costs."""
        groups = [CostGroupView(name=name, spend=SpendView.of(spend)) for name, spend in costs.groups]
        return cls(
            first=costs.first,
            last=costs.last,
            group_by=costs.group_by,
            total=SpendView.of(costs.total),
            groups=groups,
        )
