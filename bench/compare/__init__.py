"""The library beside every peer that is installed, on the same work and in the same minutes.

Each library has a process of its own for each number of threads, pinned, which waits on a pipe
until it is asked to run. In each round every process does its share of one row of the table;
ratios are taken within a round, so that what the machine does meanwhile comes to all.

    rows.py          the rows: shapes, operations, bytes, and the arrays they are run on
    machine.py       the processor: its name, caches and CPUs; peak and bandwidths (probe.c)
    peers.py         rnncore, PyTorch and JAX; onnx_peers.py: ONNX Runtime and OpenVINO
    worker.py        the process of one library; lanes.py: the parent's end of its pipe
    rounds.py        what is measured, and in which order
    summary.py       medians, quartiles, ratios, the roofline
    tables.py        Markdown; figure.py: the picture
    command.py       the command line of `python -m bench.compare`
"""
