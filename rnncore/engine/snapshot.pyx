"""Snapshots: the weights that a model has at one moment, for streams and sequences of other
extensions. They are never changed.
"""

import numpy

from rnncore.engine.chain cimport Stage
from rnncore.engine.plan cimport Plan
from rnncore.engine.program cimport form_chain

from rnncore.engine.spec import use


cdef enum:
    MOST_PAST = 1 << 20       # steps that a state may hold: a stream has a slot for each


cdef class Snapshot:
    """What a model consists of.

    Parameters
    ----------
    parts : list
        Of each layer its Plan, the table (symbols, width) of an embedding, or None for one that
        takes the last step of each sequence.
    arrays : list
        Of each layer its parameters, as Plan takes them or as the table: views of `values`.
    values : array (n,)
        All parameters.
    frozen : list of slice
        Where those lie that are not trained.

    Raises
    ------
    ValueError
        If a layer looks back further than anyone would.
    """

    def __init__(self, list parts, list arrays, values, list frozen):
        cdef unsigned char[::1] stages
        self.parts, self.arrays, self.values, self.frozen = parts, arrays, values, frozen
        plans = [part for part in parts if isinstance(part, Plan)]
        for plan in plans:
            if plan.spec.past > MOST_PAST:
                raise ValueError(f"a layer looks {plan.spec.past} steps back, expected "
                                 f"{MOST_PAST} at most")
        table = None if isinstance(parts[0], Plan) else parts[0]
        self.itemsize, self.symbols = values.itemsize, 0 if table is None else len(table)
        self.inputs = plans[0].spec.inputs if table is None else 1
        self.outputs = plans[len(plans) - 1].spec.width(1) if plans else table.shape[1]
        self.per_step = not any(part is None for part in parts)
        self.one_way = all(plan.spec.directions == 1 for plan in plans)
        if self.one_way:
            self._stages = numpy.empty(len(plans) * sizeof(Stage) + 1, numpy.uint8)
            stages = self._stages
            form_chain(&self.form, plans, table, <Stage *> &stages[0])

    def trained(self, values):
        """The same with other parameters (n,), packed for the same instruction set."""
        parts, arrays = [], []
        for part, old in zip(self.parts, self.arrays):
            new = _moved(old, self.values, values)
            arrays.append(new)
            if isinstance(part, Plan):
                with use(isa=part.isa, engine=part.engine):
                    part = Plan(part.spec, new)
            elif part is not None:
                part = new.copy()
            parts.append(part)
        return Snapshot(parts, arrays, values, self.frozen)


cdef object _moved(view, old, new):
    """Views of one flat array, as the same views of another."""
    if isinstance(view, (list, tuple)):
        return type(view)([_moved(item, old, new) for item in view])
    if view is None:
        return None
    start = (view.ctypes.data - old.ctypes.data) // old.itemsize
    return new[start:start + view.size].reshape(view.shape)
