"""Transfer: hubs and a volume meet. A plan is made without I/O, and carried out a few files at a time.

fill       the whole: survey, plan, room, steps, receipts
steps      one file: keep, prove, resume, fetch, repair
assembly   its pieces, in order, from where they cost least
proof      bytes that stand, read through
outcome    what became of it
"""
