"""Steps of the optimizers, in place on flat arrays.

The equations and their sources are in rnncore/optim. A step sees denormals as zero, as the
passes do: moments of what is trained no more fade to 0 instead of to a crawl.
"""

import math

from rnncore.engine.plan cimport kernels_of
from rnncore.engine.types cimport rnn_kernels, rnn_update

from rnncore.engine.flat import flat_bytes
from rnncore.engine.plan import current_isa


def _fitting(name, array, like):
    """The memory of a flat array, of the dtype and size of another one."""
    memory = flat_bytes(array, name)
    if array.dtype != like.dtype or array.size != like.size:
        raise ValueError(f"{name} has {array.size} elements of {array.dtype}, expected "
                         f"{like.size} of {like.dtype}")
    return memory


cdef class _Step:
    """The arrays of one step, checked: weights, gradients and up to two of moments."""

    cdef rnn_update update
    cdef const rnn_kernels *kernels

    def __init__(self, w, g, moments, Py_ssize_t least, Py_ssize_t most):
        cdef unsigned char[::1] view
        cdef const unsigned char[::1] gradients
        cdef Py_ssize_t i
        if not least <= len(moments) <= most:
            raise ValueError(f"moments holds {len(moments)} arrays, expected {least} to {most}")
        view, gradients = flat_bytes(w, "w"), _fitting("g", g, w)
        self.update.n = w.size
        if w.size:
            self.update.w, self.update.g = &view[0], &gradients[0]
        for i, moment in enumerate(moments):
            view = _fitting(f"moments[{i}]", moment, w)
            if w.size:
                self.update.state[i] = &view[0]
        self.kernels = kernels_of(current_isa(), w.itemsize)

    cdef void run(self, void (*rule)(const rnn_update *) noexcept nogil) noexcept:
        """Run a rule on the arrays, which the caller keeps alive."""
        cdef unsigned mode
        with nogil:
            mode = self.kernels.enter()
            rule(&self.update)
            self.kernels.leave(mode)


def sgd(w, g, moments, double lr, double momentum=0.0, bint nesterov=False,
        double decay=0.0):
    """Take a step of gradient descent; `moments` holds the momentum, or nothing.

    Raises
    ------
    TypeError, ValueError
        If an array is not flat, contiguous and of the dtype and size of `w`, or read-only and
        to be changed; nothing is changed then. The same goes for the other steps.
    """
    cdef _Step step = _Step(w, g, moments, 0, 1)
    step.update.lr, step.update.decay = lr, decay
    step.update.beta1, step.update.nesterov = momentum, nesterov
    step.run(step.kernels.sgd)


def rmsprop(w, g, moments, double lr, double alpha, double eps, double momentum=0.0,
            double decay=0.0):
    """Take a step of RMSprop; `moments` holds the mean of squares, then the momentum if any."""
    cdef _Step step = _Step(w, g, moments, 1, 2)
    step.update.lr, step.update.decay = lr, decay
    step.update.beta1, step.update.beta2, step.update.eps = momentum, alpha, eps
    step.run(step.kernels.rmsprop)


def adam(w, g, moments, double lr, double beta1, double beta2, double eps, Py_ssize_t count,
         double decay=0.0):
    """Take step number `count`, from 1, of Adam; `moments` holds the first and the second one.
    `decay` is the share of the weights that is taken off them."""
    cdef _Step step = _Step(w, g, moments, 2, 2)
    if count < 1:
        raise ValueError(f"count is {count}, expected at least 1")
    step.update.lr, step.update.decay = lr / (1 - beta1 ** count), decay
    step.update.beta1, step.update.beta2, step.update.eps = beta1, beta2, eps
    step.update.root = 1 / math.sqrt(1 - beta2 ** count)
    step.run(step.kernels.adam)
