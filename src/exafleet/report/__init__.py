"""Report: what a plan says, as tables for people (terminal, HTML) and for programs (JSON).

table     one section: title, the sentence that matters, columns with units, rows, a picture
sections  one file per question a reader asks
build     Plan -> Report
terminal, html   the same tables, printed
"""
