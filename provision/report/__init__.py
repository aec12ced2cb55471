"""Reports: findings, outcomes and differences as text for people and as JSON for programs. Pure; nothing is printed.

text       lines for a terminal or a log
document   the JSON documents, each with `"schema": 1`
"""
