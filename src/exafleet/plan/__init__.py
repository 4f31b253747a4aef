"""The plan: what to order, when, where it goes and who uses it, as a two-stage mixed-integer programme.

sets        which (owner, site, system), (job, place, size) and moves can exist at all
blocks      columns and rows collected as NumPy blocks
rules       each rule of the world as a function that adds rows
twostage    orders now, recourse in each draw: one programme, two ways to solve it
writtenout  one mixed-integer programme            decompose  a master and one recourse problem per draw
solve       World, Rates, Draws -> Plan            relax      what to give up when no plan keeps every rule
"""
