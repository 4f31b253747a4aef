"""The answers people pay for, each from one market, its rates, draws to plan for and fresh draws to judge by.

ground       what every answer stands on, and plans and costs made on it
choices      ways to decide that a plan is compared with: the naive ones, and plans that may not do something
regret       what the naive plans cost more, on the same fresh draws
information  what it would be worth to know; what it is worth to plan for more than one future
foresight    by how much a plan is flattered because each of its draws foresees itself
waiting      buy now, or wait for the next generation, if it comes late
owning       buy, lease or rent
frontier     expected cost against the cost of bad luck
turning      what would have to be true for another plan to win
earlier      what a month, a megawatt, a place in the queue is worth
"""
