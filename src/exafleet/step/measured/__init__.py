"""Measured runs beside what the model says of them: tables read row by row, and one comparison for each kind.

training.py   rates of training runs             run_tables.py     the three layouts their tables come in
scaling.py    rates as runs grow                 run_words.py      what the words of a table mean
peaks.py      peak memory, the package's table   memory_tables.py  memory tables of others
serving.py    serving deployments                cells.py          cells, numbers and reasons of one row
"""
