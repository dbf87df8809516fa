"""The report of a training: one HTML file with all there is to see, pictures inside.

It needs Jinja2 and matplotlib, `pip install 'rnncore[report]'`.
"""
