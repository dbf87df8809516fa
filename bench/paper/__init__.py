"""The study: published experiments run again, beside the published numbers.

A part of the study is a list of runs, one for each arm, length and seed. A finished run is one
line of JSON in FOLDER/PART.jsonl; a run that is there is not run again, so that a study that
was stopped goes on where it stood. Then the part writes its table, FOLDER/PART.txt, and, where
matplotlib is installed, its figure, FOLDER/PART.png.

    runs.py       runs and the file of results
    part.py       what the parts share: which runs, the table and figure of success rates
    medians.py    the same for parts that measure numbers: settings chosen, tables of medians
    parts/        the parts, one to a file; __init__ lists them
    command.py    the command line
"""
