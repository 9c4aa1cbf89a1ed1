"""The tools with which a model asks about the data: what there is, SQL, single traces, samples of traces.

`kit.inquiry_tools` makes them. Each answers in few words that fit its bounds, and keeps its queries as evidence.
"""
