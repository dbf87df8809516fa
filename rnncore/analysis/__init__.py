"""Seeing the gradient: instruments, theory's conditions, pictures and the report."""

from rnncore.analysis import plots
from rnncore.analysis.activations import ActivationTable, activation_table
from rnncore.analysis.alarms import Alarm
from rnncore.analysis.conditions import Condition, conditions
from rnncore.analysis.contributions import Contributions, temporal_contributions
from rnncore.analysis.dependence import Dependence
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
from rnncore.analysis.gates import Gates, gates
from rnncore.analysis.growth import Growth, Wall, fit_growth
from rnncore.analysis.memory import Memory, forward_memory
from rnncore.analysis.monitor import Monitor, Observations
from rnncore.analysis.scalar import FixedPoint, ScalarMap, scalar_map
from rnncore.analysis.spectra import Spectrum, spectrum
from rnncore.analysis.surface import ErrorSurface, Path, error_surface
from rnncore.analysis.verdict import Diagnosis, LayerVerdict, diagnose

__all__ = [
    "ActivationTable",
    "Alarm",
    "Condition",
    "Contributions",
    "Dependence",
    "Diagnosis",
    "ErrorSurface",
    "FixedPoint",
    "Gates",
    "GradientFlow",
    "Growth",
    "Lagged",
    "LayerFactors",
    "LayerFlow",
    "LayerVerdict",
    "Memory",
    "Monitor",
    "Observations",
    "Path",
    "ScalarMap",
    "Spectrum",
    "Wall",
    "activation_table",
    "conditions",
    "depth_flow",
    "diagnose",
    "error_surface",
    "fit_growth",
    "forward_memory",
    "gates",
    "gradient_flow",
    "jacobian_norms",
    "jacobians",
    "lagged",
    "over_batch",
    "plots",
    "scalar_map",
    "spectrum",
    "temporal_contributions",
]
