"""Pictures: a `plot_*` for each instrument, which takes `ax=` and returns the axes.

They need matplotlib, `pip install 'rnncore[plot]'`, which is imported when the first is drawn.
"""
