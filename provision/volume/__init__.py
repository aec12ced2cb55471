"""A volume: where bytes go. A mounted root, reached step by step and never through a link.

mount      the open volume, its state folder, the probe for writing
paths      folders below the root; every way in goes through here
files      one open file
faults     what the operating system says, as the error tree says it
writer     who writes: an identity, and the facts by which others can tell that it is dead
journal    what a partial has proven, line by line
partial    one unfinished file, open for its writer
partials   unfinished files: claimed, resumed, taken over, copied from, made of a damaged file
placing    the one rename that gives bytes their name
receipts   what was proven about files that stand
standing   a model as it stands, for what looks into its files
holdings   what stands, against what was promised
locks      copies of the locks of all projects that fill this volume
claims     mkdir, to save work; nothing rests on them
presence   which fills are at work
inventory  every file that lies there
space      how much room there is
"""
