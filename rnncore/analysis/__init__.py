"""Seeing the gradient: instruments, theory's conditions, pictures and the report."""

from rnncore.analysis.contributions import Contributions, temporal_contributions
from rnncore.analysis.factors import LayerFactors, jacobian_norms, jacobians
from rnncore.analysis.flow import (
    GradientFlow,
    Lagged,
    LayerFlow,
    depth_flow,
    gradient_flow,
    lagged,
    over_batch,
)

__all__ = [
    "Contributions",
    "GradientFlow",
    "Lagged",
    "LayerFactors",
    "LayerFlow",
    "depth_flow",
    "gradient_flow",
    "jacobian_norms",
    "jacobians",
    "lagged",
    "over_batch",
    "temporal_contributions",
]
