"""Pictures: a `plot_*` for each instrument, which takes `ax=` and returns the axes.

They need matplotlib, `pip install 'rnncore[plot]'`, which is imported when the first is drawn.
"""

from rnncore.analysis.plots.flow import (
    plot_contributions,
    plot_depth_flow,
    plot_directions,
    plot_gradient_flow,
    plot_jacobian_norms,
    plot_lag_shares,
    plot_lagged,
    plot_products,
)
from rnncore.analysis.plots.states import (
    plot_gates,
    plot_half_lives,
    plot_perturbation,
    plot_recall,
)
from rnncore.analysis.plots.theory import (
    plot_activation_table,
    plot_activations,
    plot_error_surface,
    plot_scalar_gradients,
    plot_scalar_map,
    plot_wall,
)
from rnncore.analysis.plots.training import (
    plot_gradient_heat_map,
    plot_gradient_norms,
    plot_learning_curves,
)
from rnncore.analysis.plots.weights import plot_bound, plot_singular_values, plot_spectrum

__all__ = [
    "plot_activation_table",
    "plot_activations",
    "plot_bound",
    "plot_contributions",
    "plot_depth_flow",
    "plot_directions",
    "plot_error_surface",
    "plot_gates",
    "plot_gradient_flow",
    "plot_gradient_heat_map",
    "plot_gradient_norms",
    "plot_half_lives",
    "plot_jacobian_norms",
    "plot_lag_shares",
    "plot_lagged",
    "plot_learning_curves",
    "plot_perturbation",
    "plot_products",
    "plot_recall",
    "plot_scalar_gradients",
    "plot_scalar_map",
    "plot_singular_values",
    "plot_spectrum",
    "plot_wall",
]
