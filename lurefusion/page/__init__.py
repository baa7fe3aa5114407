"""The page in the browser (`lurefusion demo`): what is asked of the networks, apart from how it is laid out.

`limits.py` and `archives.py` stand between strangers' files and the rest; `desk.py` answers what a page asks, without a
browser; `wording.py` makes HTML of the answers; `layout.py` and `serve.py` alone know Gradio.
"""
