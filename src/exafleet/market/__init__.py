"""Dates, money and owners as arrays by month: what can be bought, when it comes, what it costs. No FLOP here.

market    Scenario and systems -> Market: month-indexed arrays
draws     the record of futures: what comes late, what it costs, how much is asked for
futures   Market -> Draws, from shocks
resale    what a used unit is worth, by system and month
"""
