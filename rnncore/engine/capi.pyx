"""The capsule behind rnncore.h: one struct with the functions that other extensions call.

They run the same loops as Python's calls. What is made of Python objects, models and streams
among them, is made by the package above, which hands in how.
"""

from cpython.pycapsule cimport PyCapsule_New

from rnncore cimport (
    RNN_ERROR_ABI, RNN_OK, RNNCORE_ABI, RNNCORE_CAPSULE, rnn_status, rnncore_api,
)
from rnncore.engine cimport (
    handles, learning, sequence_handles, sequence_states, stream_handles,
)

cdef rnncore_api _api         # filled once, at import
cdef bytes _version = b""     # which it points to

cdef enum:
    FIRST_BYTES = 3 * 8 + 38 * 8      # of the struct when this ABI was first published


cdef rnn_status _check(int abi_version, size_t struct_size) noexcept nogil:
    if abi_version != RNNCORE_ABI or struct_size % sizeof(void *) or \
            not FIRST_BYTES <= struct_size <= sizeof(rnncore_api):
        return RNN_ERROR_ABI
    return RNN_OK


cdef void _fill_models():
    _api.model_from_python = handles.model_from_python
    _api.model_from_file = handles.model_from_file
    _api.model_shape = handles.model_shape
    _api.model_close = handles.model_close


cdef void _fill_streams():
    _api.stream_bytes = stream_handles.stream_bytes
    _api.stream_create = stream_handles.stream_create
    _api.stream_clone = stream_handles.stream_clone
    _api.stream_from_python = stream_handles.stream_from_python
    _api.stream_close = stream_handles.stream_close
    _api.stream_shape = stream_handles.stream_shape
    _api.stream_step = stream_handles.step
    _api.stream_run = stream_handles.run
    _api.stream_reset = stream_handles.stream_reset
    _api.stream_reset_row = stream_handles.stream_reset_row
    _api.stream_copy = stream_handles.stream_copy
    _api.stream_copy_row = stream_handles.stream_copy_row
    _api.stream_get_state = stream_handles.stream_get_state
    _api.stream_set_state = stream_handles.stream_set_state
    _api.stream_keep_mode = stream_handles.stream_keep_mode


cdef void _fill_sequences():
    _api.sequence_bytes = sequence_handles.sequence_bytes
    _api.sequence_create = sequence_handles.sequence_create
    _api.sequence_close = sequence_handles.sequence_close
    _api.sequence_shape = sequence_handles.sequence_shape
    _api.sequence_infer = sequence_handles.sequence_infer
    _api.sequence_forward = sequence_handles.sequence_forward
    _api.sequence_backward = learning.sequence_backward
    _api.sequence_clip_norm = learning.sequence_clip_norm
    _api.sequence_sgd = learning.sequence_sgd
    _api.sequence_reset = sequence_states.sequence_reset
    _api.sequence_reset_row = sequence_states.sequence_reset_row
    _api.sequence_copy_row = sequence_states.sequence_copy_row
    _api.sequence_get_state = sequence_states.sequence_get_state
    _api.sequence_set_state = sequence_states.sequence_set_state
    _api.sequence_get_parameters = learning.sequence_get_parameters
    _api.sequence_set_parameters = learning.sequence_set_parameters
    _api.sequence_gradients = learning.sequence_gradients
    _api.sequence_model = learning.sequence_model


def capsule(str version, snapshot, load, program):
    """The struct in a capsule; to be called once.

    Parameters
    ----------
    version : str
        Of the package.
    snapshot, load, program : callable
        Make a Snapshot of a model and of the path of its file, and find a stream's Program.
    """
    global _version
    _version = version.encode()
    handles.connect(snapshot, load)
    stream_handles.connect(program)
    _api.struct_size, _api.abi_version, _api.version = sizeof(_api), RNNCORE_ABI, _version
    _api.check, _api.status_string = _check, handles.status_string
    _fill_models()
    _fill_streams()
    _fill_sequences()
    return PyCapsule_New(&_api, RNNCORE_CAPSULE, NULL)
