"""Scenario: scenario.toml and the tables beside it, read into the frozen records of facts/records.py.

document    the text: what TOML holds, the line of each key, rows of records
values      amounts and other single values: "150 MW", a fact, a share
kinds       what a key may hold: a series by month, a spread, a reference
schema      every table and key with its meaning (pydantic); the JSON Schema
build       records from the document, every problem collected
fill        what is left out and a fact knows
checks      what only shows between records
keys        every number by key, for `with_fact` and sensitivities
docs        writes the generated parts of docs/scenario.md and the schema files
toml_lines, tables    where a key stands; the CSV files beside a scenario
"""
