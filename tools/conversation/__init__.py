"""Follow-up questions on a report: read by a grammar, looked up in the data, doubted, and answered from the figures.

`lexicon` → words, `phrases` and `grammar` → an `Ask`; `looking` → its queries; `answering` → the answer.
"""
