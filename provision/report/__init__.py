"""Reports: findings, outcomes and differences as text for people, and as what programs read. Pure; nothing is printed.

text         plans and fills as lines for a terminal or a log
differences  what changes in a lock, as lines
findings     verifications as lines
paint        their colours
wording      what all reports of a verification call things
advice       what helps, as commands that can be run
tally        sums by model
junit        verifications as JUnit XML
github       as annotations, and as a step's summary
page         as a page of HTML
document     the JSON documents, each with `"schema": 1`
"""
