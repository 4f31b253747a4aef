"""One file per question a reader asks of a plan; each function turns a Plan into one Table.

orders   what to order, keep, defer, cancel, rent, and when
fleet    what arrives, where it goes, who uses it; power against limit
jobs     when training runs finish, and how much demand is served
money    what it costs by part, and cash by owner
worth    which rule binds, and what one more of anything would be worth
answer   what would change the answer, and where its numbers come from
"""
