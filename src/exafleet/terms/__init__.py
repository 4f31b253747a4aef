"""Words, units, parts and errors: the floor everything else stands on.

units     the closed unit list and "150 MW" -> 1.5e8
calendar  months as integers, and the only place that parses a date
term      the glossary: each quantity's unit, basis and allowed range
parts     named pieces that add up to a total
errors    what went wrong, where, and how to mend it
"""
