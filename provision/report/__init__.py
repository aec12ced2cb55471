"""Reports: findings, outcomes and differences as text for people and as JSON for programs. Pure; nothing is printed.

text       locks, plans and fills as lines for a terminal or a log
findings   verifications as lines
document   the JSON documents, each with `"schema": 1`
"""
