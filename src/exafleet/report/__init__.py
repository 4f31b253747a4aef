"""Report: what a plan says, as tables for people (terminal, HTML) and for programs (JSON).

table     one section: title, the sentence that matters, columns with units, rows, a picture
sections  one file per question a reader asks
build     Plan -> Report
provenance  the table of facts that the rows of the others rest on
terminal, html, markdown, workbook   the same tables, printed; schema   of their JSON
"""
