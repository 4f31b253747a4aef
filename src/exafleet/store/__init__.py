"""Store: runs, their plans and the allocation ledger in SQL: a SQLite file by default, any database by URL.

schema    the tables, and how an older store is brought up to date
database  which database, and opening it
runs      saving a run, finding it again
"""
