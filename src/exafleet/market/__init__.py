"""Dates, money and owners as arrays by month: what can be bought, when it comes, what it costs. No FLOP here.

market    Scenario and systems -> Market: month-indexed arrays
draws     Market -> Draws: what may come late, and how much is asked for
resale    what a used unit is worth, by system and month
"""
