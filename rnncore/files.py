"""Model files: safetensors, with the architecture as JSON in the metadata.

The tensors have PyTorch's names ("0.weight_ih_l0"). The metadata entry "rnncore" is

    {"format": 1, "layers": [{"layer": "LSTM", "input_size": 88, ...}, ...],
     "loss": "mse", "reduction": "mean", "batch_first": false}

Loading executes nothing of the file and refuses whatever is not exactly such a model.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnncore.losses import Loss, LossFunction
    from rnncore.model import Model

Path = str | os.PathLike[str]

FORMAT = 1  # of the metadata; a reader takes its own and older ones
_KEY = "rnncore"
_MAX_HEADER = 100_000_000  # bytes, the limit of the safetensors format


def save(model: Model, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write the model to a safetensors file: parameters, layers and loss.

    The file is written beside its final name, synced and renamed: whatever happens, `path`
    holds the whole new model or what it held before.

    Parameters
    ----------
    path : str or path-like
        The file.
    metadata : mapping of str to str, optional
        Further entries of the file's metadata; `rnncore.files.read_metadata` gives them back.

    Raises
    ------
    OSError
        If the file cannot be written.
    TypeError, ValueError
        If a metadata entry is no string, or named "rnncore".

    Examples
    --------
    >>> import tempfile, rnncore as rc
    >>> model = rc.Model([rc.LSTM(3, 8), rc.Linear(8, 2)], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(folder + "/m.safetensors")
    ...     loaded = rc.load(folder + "/m.safetensors")
    >>> bool((loaded.parameters == model.parameters).all())
    True
    """
    import json

    from safetensors.numpy import save as to_bytes

    entries = dict(metadata or {})
    for name, value in entries.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"metadata[{name!r}] is {value!r}, expected a str under a str")
        if name == _KEY:
            raise ValueError(f"metadata has the name {_KEY!r}, which the model itself takes")
    entries[_KEY] = json.dumps(architecture(model))
    write_atomically(path, to_bytes(dict(model.tensors.items()), entries))


def architecture(model: Model) -> dict[str, Any]:
    """What a model is but for its parameters, ready for JSON."""
    return {
        "format": FORMAT,
        "layers": [layer.config() for layer in model.layers],
        "loss": model.loss.name,
        "reduction": model.reduction,
        "batch_first": model.batch_first,
    }


def load(path: Path, loss: str | LossFunction | Loss | None = None) -> Model:
    """Read a model that `Model.save` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.
    loss : str or callable, optional
        The loss in place of the saved one; needed if that was a callable.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no safetensors file, is truncated, holds no model of this or an older format,
        or its tensors are not exactly those of its layers, all finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    saved = _architecture(path)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a valid safetensors file: {error}") from None
    try:
        model = _build(saved, loss, tensors)
        model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError) as error:
        message = error.args[0] if error.args else error
        raise ValueError(f"{path} is not a model that can be loaded: {message}") from None
    return model


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file that were given to `Model.save`.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no safetensors file or is truncated.
    """
    return {name: value for name, value in _metadata(path).items() if name != _KEY}


def _build(saved: Mapping[str, Any], loss: str | LossFunction | Loss | None,
           tensors: Mapping[str, Any]) -> Model:
    """Make the model, not much larger than its tensors, whatever the architecture says."""
    from rnncore.layers import build
    from rnncore.model import Model
    from rnncore.parameters import at_most

    if loss is None and saved["loss"] == "custom":
        raise ValueError("its loss is a callable, expected it as load(path, loss=...)")
    for config in saved["layers"]:
        if not isinstance(config, dict):
            raise ValueError(f"a layer is {config!r}, expected its settings by name")
        if config.get("num_layers", 1) > len(tensors):
            raise ValueError(f"num_layers is {config['num_layers']}, expected no more than its "
                             f"{len(tensors)} tensors")
    # A million more do no harm: what lacks a tensor is to be told which.
    with at_most(sum(tensor.size for tensor in tensors.values()) + 1_000_000):
        layers = [build(config) for config in saved["layers"]]
        return Model(layers, saved["loss"] if loss is None else loss,
                     reduction=saved["reduction"], batch_first=saved["batch_first"])


def _architecture(path: Path) -> dict[str, Any]:
    """The entry "rnncore" of the metadata, of a format that is known here."""
    import json

    metadata = _metadata(path)
    if _KEY not in metadata:
        raise ValueError(f"{path} holds no rnncore model, expected metadata under {_KEY!r}")
    try:
        saved = json.loads(metadata[_KEY])
        version = saved["format"]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path} has damaged metadata under {_KEY!r}") from None
    if not isinstance(version, int) or version > FORMAT:
        raise ValueError(f"{path} has format {version}, expected {FORMAT} or lower: it was "
                         "written by a newer rnncore")
    return dict(saved)


def _metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file whose bytes are all there.

    The file is the length of its header (8 bytes, little-endian), the header (JSON) with the
    place of every tensor, and the tensors.
    """
    import json

    with open(path, "rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        raw = file.read(length) if length <= _MAX_HEADER else b""
        size = file.seek(0, os.SEEK_END)
    if len(start) < 8 or not raw.startswith(b"{"):
        raise ValueError(f"{path} is not a safetensors file")
    if len(raw) < length:
        raise ValueError(f"{path} is truncated: {size} bytes, expected more than {8 + length}")
    try:
        header = json.loads(raw)
        metadata = header.pop("__metadata__", {})
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        entries = {str(name): str(value) for name, value in metadata.items()}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ValueError(f"{path} is not a safetensors file: its header is damaged") from None
    if size < 8 + length + end:
        raise ValueError(f"{path} is truncated: {size} bytes, expected {8 + length + end}")
    return entries


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the content of a file, so that a kill or a failing write leaves the old one."""
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            if file.tell() != len(data):
                raise OSError(errno.EIO, "not all of it was written", os.fspath(path))
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(target))


def _sync_folder(folder: str) -> None:
    """Make a rename last through a power failure, where folders can be synced (POSIX)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
