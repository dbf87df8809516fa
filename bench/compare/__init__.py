"""The library beside every peer that is installed, on the same work and in the same minutes.

Each library has a process of its own for each number of threads, pinned, which waits on a pipe
until it is asked to run. In each round every process does its share of one row of the table;
ratios are taken within a round, so that what the machine does meanwhile comes to all.

    rows.py          the rows: shapes, operations, bytes, and the arrays they are run on
    machine.py       the processor: its name, caches and CPUs
    probe.py         FMA peak and bandwidths, by probe.c
    peers/           how each library does the work
    worker.py        the process of one library, which pinned.py begins
    lanes.py         the parent's end of its pipe
    rounds.py        what is measured, and in which order
    summary.py       medians, quartiles, ratios, the roofline
    tables.py        Markdown
    figure.py        the picture
    command.py       the command line of `python -m bench.compare`
    builds.py        two builds of rnncore in the same way: `python -m bench.ab`
"""
