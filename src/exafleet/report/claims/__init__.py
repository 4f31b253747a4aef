"""Claims of the press as data: read, computed from facts and models, judged, and proposed from texts.

document  a file of claims, with the line of every mistake     vocabulary  the words a claim may compute with
readings  a computation under every reading the words leave    judge       agreement, tolerance, verdict
answer    verdicts as JSON and tables; page as one HTML file   extract     claims proposed from a text by rules
"""
